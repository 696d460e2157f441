//! The folders of the tree that matter, found anew only where one was made or removed.

use super::figures::Bounds;
use super::files::{Files, Folder, Kept, Listing};
use super::quiet::Quiet;
use super::seldom::Seldom;
use crate::identity::{Above, CgroupPath, Owner, Segment};

/// One cgroup that is followed. A container is a leaf: what is nested in it is inside its numbers.
#[derive(Debug)]
pub struct Node {
    /// Below the hierarchy's root; the root's own is empty.
    pub path: CgroupPath,
    /// Names this making of it; 0 in a recorded host.
    pub inode: u64,
    /// What it is.
    pub segment: Segment,
    /// Who it is; slices and folders are nobody.
    pub owner: Option<Owner>,
    /// Sorted by path.
    pub children: Vec<Node>,
    /// Whether a container lies below it.
    pub holds: bool,
    /// What stays open of it.
    pub kept: Kept,
    /// Its limits, as last read.
    pub bounds: Bounds,
    /// What has its turn in every twelfth look, as last read.
    pub seldom: Seldom,
    /// What it said last, and whether it rests.
    pub quiet: Quiet,
    /// The look that first saw it, and the one that last read it; 0: none yet.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// Whether anything lived in it, as last asked.
    pub alive: bool,
    /// Whether somebody was asked to tell at once of what is made in it.
    pub watched: bool,
    /// What its children stand below.
    pub above: Above,
    /// Its link count when its folders were last listed.
    links: u64,
}

/// No tree that a container runtime makes is deeper; what is, is left out.
const DEEPEST: usize = 24;

impl Node {
    /// A hierarchy's root, nothing below it known yet.
    pub fn root() -> Node {
        Node::new("".into(), 0, Segment::Parent, None, Above::default())
    }

    fn new(path: CgroupPath, inode: u64, segment: Segment, owner: Option<Owner>, above: Above) -> Node {
        let (kept, bounds) = (Kept::default(), Bounds::default());
        Node {
            path,
            inode,
            segment,
            owner,
            children: Vec::new(),
            holds: false,
            kept,
            bounds,
            seldom: Seldom::default(),
            quiet: Quiet::default(),
            first: 0,
            last: 0,
            alive: true,
            watched: false,
            above,
            links: 0,
        }
    }

    /// Whether it gets a row. A unit that holds containers is a folder to us: they have rows of their own, and the rest of it is the system's.
    pub fn is_row(&self) -> bool {
        match self.segment {
            Segment::Container(_) => true,
            Segment::Unit => !self.holds,
            Segment::Task(_) | Segment::Pod(_) => self.holds,
            Segment::Parent | Segment::Aside => false,
        }
    }

    /// Whether rows may lie below it.
    pub fn is_folder(&self) -> bool {
        match self.segment {
            Segment::Container(_) | Segment::Aside => false,
            Segment::Unit | Segment::Task(_) | Segment::Pod(_) => self.holds,
            Segment::Parent => true,
        }
    }
}

/// How many folders a walk may hold, and how many it left out.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Still free.
    pub left: usize,
    /// Folders that found none.
    pub cut: u64,
    /// Nodes that get a row.
    pub rows: usize,
}

/// Finds what was made or removed below a node. `false`: the node itself is gone.
pub fn refresh(node: &mut Node, files: &mut Files, room: &mut Room) -> bool {
    refresh_at(node, files, room, 0)
}

fn refresh_at(node: &mut Node, files: &mut Files, room: &mut Room, depth: usize) -> bool {
    if matches!(node.segment, Segment::Container(_)) {
        room.rows += 1;
        return true;
    }
    let stale = if files.recorded() {
        true
    } else {
        let Some((links, inode)) = files.links(node.path.as_str()) else { return false };
        if depth > 0 && inode != node.inode {
            return false;
        }
        // Some file systems (btrfs, in tests) do not count links; a cgroup's are at least 2.
        let stale = links != node.links || links < 2;
        node.links = links;
        stale
    };
    if stale && !list(node, files, room, depth) {
        return false;
    }
    let mut lost = false;
    node.children.retain_mut(|child| {
        let there = refresh_at(child, files, room, depth + 1);
        lost |= !there;
        there
    });
    // One removed and one made since the last look leave the count as it was.
    if lost && !stale && list(node, files, room, depth) {
        refresh_new(node, files, room, depth);
    }
    node.holds = node.children.iter().any(|child| child.holds || matches!(child.segment, Segment::Container(_)));
    room.rows += usize::from(node.is_row());
    true
}

/// Lists a node's folders anew after one of them turned out to be gone, and what lies below those that are new.
pub fn relist(node: &mut Node, files: &mut Files, room: &mut Room) -> bool {
    let there = list(node, files, room, 0);
    refresh_new(node, files, room, 0);
    node.holds = node.children.iter().any(|child| child.holds || matches!(child.segment, Segment::Container(_)));
    there
}

fn refresh_new(node: &mut Node, files: &mut Files, room: &mut Room, depth: usize) {
    for child in node.children.iter_mut().filter(|child| child.links == 0) {
        refresh_at(child, files, room, depth + 1);
    }
}

/// Lists a node's folders: known ones stay, gone ones go, new ones are named. `false`: the node is gone.
fn list(node: &mut Node, files: &mut Files, room: &mut Room, depth: usize) -> bool {
    let folders = match files.folders(node.path.as_str()) {
        Listing::Of(folders) => folders,
        // What is known of it stays; asked again at the next look.
        Listing::Refused => {
            node.links = 0;
            return true;
        }
        Listing::Gone => return false,
    };
    let mut known = std::mem::take(&mut node.children).into_iter().peekable();
    for folder in folders {
        let path: String = format!("{}/{}", node.path, folder.name);
        while known.next_if(|child| child.path.as_str() < path.as_str()).is_some() {
            room.left += 1;
        }
        match known.next_if(|child| child.path.as_str() == path) {
            Some(child) if child.inode == folder.inode => node.children.push(child),
            _ => node.children.extend(child(node, files, room, depth, &path, &folder)),
        }
    }
    true
}

fn child(node: &Node, files: &mut Files, room: &mut Room, depth: usize, path: &str, folder: &Folder) -> Option<Node> {
    let (mut segment, below) = node.above.enter(&folder.name);
    let owner = match &segment {
        Segment::Aside => return None,
        Segment::Container(id) if id.as_str().len() != 64 && holds_kubepods(path, files) => {
            // A Fargate task that is a Kubernetes node: its pods have owners of their own.
            segment = Segment::Parent;
            None
        }
        Segment::Container(id) => Some(Owner::Container(id.clone(), below.within.clone())),
        Segment::Task(id) => Some(Owner::Task(id.clone())),
        Segment::Pod(uid) => Some(Owner::Pod(uid.clone())),
        Segment::Unit => Some(Owner::Unit(folder.name.as_str().into())),
        Segment::Parent => None,
    };
    if room.left == 0 || depth >= DEEPEST {
        room.cut += 1;
        return None;
    }
    room.left -= 1;
    Some(Node::new(path.into(), folder.inode, segment, owner, below))
}

fn holds_kubepods(path: &str, files: &mut Files) -> bool {
    matches!(files.folders(path), Listing::Of(folders) if folders.iter().any(|folder| folder.name == "kubepods"))
}
