//! The codes of findings. A code keeps its meaning for good: scripts look for it. New ones go into the gaps of their ten.

use collector::snapshot::{Gap, SourceName};

use super::{Finding, Level};

/// One kind of finding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    /// `TARE-001`
    pub(super) code: &'static str,
    /// How bad it is.
    pub(super) level: Level,
    /// What it costs the user.
    pub(super) costs: &'static str,
    /// The one thing to do, where the finding has no better words.
    pub(super) fix: &'static str,
}

impl Code {
    /// A finding of this kind.
    pub(super) fn found(&self, what: String) -> Finding {
        let some = |text: &'static str| (!text.is_empty()).then(|| text.to_owned());
        Finding { code: self.code, level: self.level, what, costs: some(self.costs), fix: some(self.fix) }
    }
}

macro_rules! codes {
    ($($name:ident $code:literal $level:ident $about:literal $(costs $costs:literal)? $(fix $fix:literal)?;)*) => {
        $(#[doc = $about] pub(super) const $name: Code = Code { code: $code, level: Level::$level, costs: concat!($($costs)?), fix: concat!($($fix)?) };)*

        /// Every code, in order.
        #[cfg(test)]
        pub(super) const CODES: &[Code] = &[$($name),*];
    };
}

codes! {
    TREE "TARE-001" Ok "the cgroup tree is read";
    NO_TREE "TARE-002" Error "the cgroup tree cannot be read"
        costs "no container's CPU, memory or disk use is seen"
        fix "give Tare the host's tree: -v /sys/fs/cgroup:/host/sys/fs/cgroup:ro";
    TREE_FILES "TARE-003" Warning "some files of the cgroup tree cannot be read"
        costs "these figures are missing where it says so"
        fix "run Tare as a user that may read them";
    PRESSURE "TARE-004" Warning "the kernel keeps no pressure figures"
        costs "how long work waited for CPU, memory and disk is unknown"
        fix "boot the host's kernel with psi=1";
    DESCRIPTORS "TARE-005" Warning "no file descriptor was left"
        costs "some figures are missing at this look"
        fix "raise the limit on open files (ulimit -n), or lower cgroup.keep_open";
    UNCOUNTED "TARE-006" Warning "this kernel does not count at block devices in cgroup v1"
        costs "what containers read from and write to disks is unknown"
        fix "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1)";
    STATS "TARE-007" Warning "containers are measured by Docker's stats"
        costs "their pressure, processes killed for memory and the limits above them are unknown; each sample takes the Docker daemon 1 to 2 ms of CPU"
        fix "give Tare the host's tree: -v /sys/fs/cgroup:/host/sys/fs/cgroup:ro";
    STATS_PART "TARE-008" Warning "Docker's stats do not measure all containers"
        costs "what these containers use is unknown or old"
        fix "see the daemon's log: journalctl -u docker";

    SIZES "TARE-009" Ok "layers and volumes are measured, or will be";

    DOCKER "TARE-010" Ok "Docker answers";
    NO_SOCKET "TARE-011" Warning "there is no Docker socket"
        costs "names, images, health, restarts and exit codes are unknown"
        fix "start Docker, mount its socket, or set docker.socket to \"\"";
    SOCKET_FOLDER "TARE-012" Error "the Docker socket is a directory"
        costs "names, images, health, restarts and exit codes are unknown"
        fix "remove the mount, or start Docker before Tare";
    SOCKET_DENIED "TARE-013" Error "the Docker socket may not be opened"
        costs "names, images, health, restarts and exit codes are unknown"
        fix "run Tare with the group that owns the socket";
    DOCKER_DOWN "TARE-014" Error "nobody listens on the Docker socket"
        costs "names, images, health, restarts and exit codes are unknown"
        fix "systemctl start docker";
    DOCKER_OLD "TARE-015" Error "Docker speaks an API that Tare does not"
        costs "names, images, health, restarts and exit codes are unknown"
        fix "upgrade to Docker 20.10 or newer";
    DOCKER_SILENT "TARE-016" Error "Docker does not answer in time"
        costs "names, images, health, restarts and exit codes are those of its last answer, then unknown"
        fix "see the daemon's log: journalctl -u docker";
    DOCKER_ODD "TARE-017" Warning "Docker answers, but not all of it can be used"
        costs "some containers have no name, image, health or restarts"
        fix "see the daemon's log: journalctl -u docker";
    DOCKER_OFF "TARE-018" Ok "Docker is not asked, as set";
    SIZES_PART "TARE-019" Warning "Docker does not measure layers or volumes"
        costs "what containers have written, or how large volumes are, is unknown or old"
        fix "see the daemon's log, or set docker.sizes to \"off\"";

    INSTANCE "TARE-020" Ok "the EC2 instance is known";
    HOP_LIMIT "TARE-021" Warning "the metadata service's answer does not reach this container"
        costs "cost of workloads on this instance is unknown until then"
        fix "aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2, or run with host network";
    NO_IMDS "TARE-022" Warning "the metadata service does not answer"
        costs "cost of workloads on this machine is unknown until then"
        fix "set host.instance_type and host.region";
    IMDS_ODD "TARE-023" Warning "the metadata service answers, but not as it should"
        costs "instance type, region or zone may be unknown"
        fix "set host.instance_type and host.region";
    IMDS_OFF "TARE-024" Ok "the metadata service is not asked, as set";
    NO_NOTICES "TARE-025" Warning "the metadata service does not say whether EC2 wants the instance back"
        costs "an interruption of this Spot instance is not announced"
        fix "let this container reach 169.254.169.254 all the time";

    PRICE "TARE-030" Ok "the machine's price is known";
    NO_PRICE "TARE-031" Warning "the machine's price is not known"
        costs "workloads show their Fargate price only"
        fix "set host.instance_type and host.region";
    OLD_PRICE "TARE-032" Warning "the machine's price is more than 180 days old"
        costs "costs may be off by what AWS has changed since"
        fix "upgrade Tare";
    REGION "TARE-033" Warning "the region is a guess"
        costs "prices differ between regions by up to 60 %"
        fix "set host.region";
    SPOT "TARE-034" Warning "the price of a Spot instance is not known"
        costs "costs shown are the most it can be";

    ECS_ODD "TARE-036" Warning "ECS answers, but not all of it can be used"
        costs "some tasks have no service, launch type or size"
        fix "see the ECS agent's log: /var/log/ecs/ecs-agent.log";

    ECS_DENIED "TARE-037" Warning "AWS does not let Tare ask about ECS tasks"
        costs "Fargate Spot, capacity provider and zone of tasks are unknown"
        fix "give the task role the policy that tare generate iam prints, or set ecs.api to \"off\"";
    MACHINES_DENIED "TARE-038" Warning "AWS does not let Tare ask about the machines of ECS tasks"
        costs "whether a machine is Spot, its type and its capacity provider are unknown where nobody else tells"
        fix "give the task role the policy that tare generate iam prints, or set ecs.api to \"off\"";
    NO_CLUSTER "TARE-039" Warning "AWS cannot be asked about ECS tasks that only their cgroups name"
        costs "Fargate Spot, service, capacity provider and size of these tasks are unknown"
        fix "set cluster to the name of the ECS cluster";

    NETWORK "TARE-040" Warning "the network of some containers cannot be measured"
        costs "their traffic is missing"
        fix "share the host's process namespace (--pid host), or mount /proc at /host/proc";
    HOST "TARE-050" Warning "something of the machine cannot be read"
        costs "these figures are missing";

    PORT "TARE-060" Ok "the port can be served on";
    PORT_TAKEN "TARE-061" Error "the port cannot be served on"
        costs "tare run ends at once"
        fix "end what has it, or set another: --listen 127.0.0.1:9465";
    EXPOSED "TARE-062" Warning "the report is open to the network"
        costs "names, images and costs of everything here can be read without a password"
        fix "set web.expose to false, or put what asks for a password before it";
    OPEN_FILES "TARE-063" Warning "fewer files may be open than the settings want"
        costs "on a host with many containers a look takes more CPU"
        fix "raise the limit: LimitNOFILE=, ulimit -n, or docker run --ulimit nofile=";
    ROOT "TARE-064" Ok "runs as root";

    PLATFORM "TARE-070" Ok "what runs the containers here";
    NO_INSTANCE "TARE-071" Warning "ECS tasks run on an EC2 instance that is not known"
        costs "what these tasks cost cannot be tied to an instance"
        fix "grant ecs:DescribeContainerInstances, or let the metadata service answer";
    EXTERNAL "TARE-072" Ok "a machine of one's own has no price, on purpose";
    NAMELESS "TARE-073" Warning "nobody says whose containers these are"
        costs "they are counted, but stand under an id instead of a service"
        fix "give Tare Docker's socket, or run it with host network so that the ECS agent answers on 127.0.0.1:51678";
    OLD_AGENT "TARE-074" Warning "the ECS agent is older than 1.100.0"
        costs "a Tare beside one task sees too little of its traffic; what is read from this machine's kernel is right"
        fix "aws ecs update-container-agent --cluster CLUSTER --container-instance ID, or a newer ECS-optimized AMI";
    AGENT "TARE-075" Ok "the ECS agent is known";
    CLUSTER "TARE-076" Ok "the cluster is looked at as a whole";
    CLUSTER_DENIED "TARE-077" Error "AWS does not let Tare ask about the cluster"
        costs "its services or tasks are unknown"
        fix "give the task role the policy that tare generate iam prints";
    CLUSTER_PART "TARE-078" Warning "not all of the cluster is seen"
        costs "some of its services or tasks are unknown or old";

    PUSHED "TARE-080" Ok "the far end takes connections";
    FAR_END "TARE-081" Error "the far end takes no connections"
        costs "nothing is pushed; it waits, and is sent once the far end is back"
        fix "check the address, the name server, and what filters the network in between";
    KEPT "TARE-082" Ok "where what is pushed waits";
    NOT_KEPT "TARE-083" Warning "what is pushed waits in memory, against the settings"
        costs "a restart while the far end is away loses it"
        fix "let Tare write its state folder: mount a volume at /var/lib/tare, or set backlog.state to another folder, or to \"\" for memory";
}

/// The code of a gap, by its source and a word of its reason; the first that fits.
pub(super) fn of_gap(gap: &Gap) -> &'static Code {
    const RULES: &[(SourceName, &str, &Code)] = &[
        (SourceName::Cgroup, "no cgroup tree", &NO_TREE),
        (SourceName::Cgroup, "cannot be listed", &NO_TREE),
        (SourceName::Cgroup, "the mounts cannot be read", &NO_TREE),
        (SourceName::Cgroup, "no descriptor was left", &DESCRIPTORS),
        (SourceName::Docker, "is a directory", &SOCKET_FOLDER),
        (SourceName::Docker, "is not there", &NO_SOCKET),
        (SourceName::Docker, "permission denied", &SOCKET_DENIED),
        (SourceName::Docker, "HTTP 401", &SOCKET_DENIED),
        (SourceName::Docker, "HTTP 403", &SOCKET_DENIED),
        (SourceName::Docker, "connection refused", &DOCKER_DOWN),
        (SourceName::Docker, "is a file, no socket", &DOCKER_DOWN),
        (SourceName::Docker, "speaks API", &DOCKER_OLD),
        (SourceName::Docker, "refuses clients below", &DOCKER_OLD),
        (SourceName::Docker, "no answer within", &DOCKER_SILENT),
        (SourceName::Imds, "wants this instance back", &NO_NOTICES),
        (SourceName::Ecs, "Instances is not allowed", &MACHINES_DENIED),
        (SourceName::Ecs, "only the ids are known", &NO_CLUSTER),
        (SourceName::Ecs, "is not allowed", &ECS_DENIED),
        (SourceName::Ecs, "no credentials", &ECS_DENIED),
        (SourceName::EcsCluster, "is not allowed", &CLUSTER_DENIED),
        (SourceName::EcsCluster, "no credentials", &CLUSTER_DENIED),
        (SourceName::Imds, "hop limit", &HOP_LIMIT),
        (SourceName::Imds, "not EC2", &NO_IMDS),
        (SourceName::Imds, "no answer within", &NO_IMDS),
        (SourceName::Imds, "switched off", &NO_IMDS),
    ];
    if gap.from == SourceName::Cgroup && &*gap.what == "pressure" {
        return &PRESSURE;
    }
    if gap.from == SourceName::Cgroup && &*gap.what == "io" {
        return &UNCOUNTED;
    }
    let rule = RULES.iter().find(|(from, word, _)| *from == gap.from && gap.why.contains(word));
    rule.map_or_else(
        || match gap.from {
            SourceName::Cgroup => &TREE_FILES,
            SourceName::Docker => &DOCKER_ODD,
            SourceName::DockerStats => &STATS_PART,
            SourceName::DockerSizes => &SIZES_PART,
            SourceName::EcsTask | SourceName::EcsAgent | SourceName::Ecs => &ECS_ODD,
            SourceName::EcsCluster => &CLUSTER_PART,
            SourceName::Imds => &IMDS_ODD,
            SourceName::Net => &NETWORK,
            SourceName::Host | SourceName::Settings => &HOST,
        },
        |(.., code)| code,
    )
}
