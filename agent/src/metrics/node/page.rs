//! A report as node_exporter would tell it: one machine, its CPUs, disks, file systems and interfaces. Whose machine it is the scrape says (`instance`).

use std::sync::Arc;

use super::{CPU, DISK, FILE_SYSTEM, HOST, INTERFACE, LINK, TIME, UNAME};
use crate::metrics::block::{Block, Part, RowKey};
use crate::metrics::choice::Choice;
use crate::metrics::page::Page;
use crate::report::Report;

/// The page.
pub struct Node {
    choice: Arc<Choice>,
    cpu: Block,
    time: Block,
    host: Block,
    uname: Block,
    disk: Block,
    file_system: Block,
    interface: Block,
    link: Block,
}

impl Node {
    /// A page without rows that tells what is wanted.
    pub fn of(choice: &Arc<Choice>) -> Node {
        Node {
            choice: Arc::clone(choice),
            cpu: Block::of(&CPU).chosen(choice),
            time: Block::of(&TIME).chosen(choice),
            host: Block::of(&HOST).chosen(choice),
            uname: Block::info(&UNAME).chosen(choice),
            disk: Block::of(&DISK).chosen(choice),
            file_system: Block::of(&FILE_SYSTEM).chosen(choice),
            interface: Block::of(&INTERFACE).chosen(choice),
            link: Block::of(&LINK).chosen(choice),
        }
    }

    fn blocks_mut(&mut self) -> [&mut Block; 8] {
        let Node { cpu, time, host, uname, disk, file_system, interface, link, .. } = self;
        [cpu, time, host, uname, disk, file_system, interface, link]
    }
}

impl Page for Node {
    fn fill(&mut self, report: &Report) {
        for block in self.blocks_mut() {
            block.start(false);
        }
        let Node { cpu, time, host, uname, disk, file_system, interface, link, .. } = self;
        let row = time.row(RowKey::Host, |_| {});
        time.put(0, &TIME, row, &report.at, false);
        let row = host.row(RowKey::Host, |_| {});
        host.put(0, &HOST, row, &report.host, false);
        let Some(above) = host.above(row) else { return };
        uname.tell(above, "", &UNAME, &report.host, None);
        for one in report.host.seen.usage.net.iter().flat_map(|net| &net.is) {
            let row = interface.row_below(above, 0, "device", Part::Name(one.name.clone()));
            interface.put(0, &INTERFACE, row, one, false);
        }
        let Some(machine) = &report.host.seen.machine else { return };
        for (number, modes) in &machine.cpus {
            let row = cpu.row_below(above, 0, "cpu", Part::Number(*number));
            cpu.put(0, &CPU, row, modes, false);
        }
        for one in machine.disks.iter().flat_map(|disks| &disks.is) {
            let row = disk.row_below(above, 0, "device", Part::Name(one.name.clone()));
            disk.put(0, &DISK, row, one, false);
        }
        for one in machine.filesystems.iter() {
            let part = Part::Mount("device", one.mounted.clone(), one.source.clone(), one.kind.clone());
            let row = file_system.row_below(above, 0, "mountpoint", part);
            file_system.put(0, &FILE_SYSTEM, row, one, false);
        }
        for one in machine.links.iter() {
            let row = link.row_below(above, 0, "device", Part::Name(one.name.clone()));
            link.put(0, &LINK, row, one, false);
        }
    }

    fn empty(&mut self) {
        self.blocks_mut().into_iter().for_each(Block::empty);
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        let Node { cpu, time, host, uname, disk, file_system, interface, link, .. } = self;
        [cpu, time, host, uname, disk, file_system, interface, link].into_iter()
    }

    fn cut(&self) -> usize {
        0
    }

    fn external(&self) -> &str {
        self.choice.external()
    }
}
