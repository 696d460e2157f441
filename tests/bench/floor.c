/* floor.c - the least that reading container stats can cost: the files of every container cgroup that Tare reads, by Tare's own file
 * policy, read once a second and thrown away. What Tare uses above this is parsing, merging, reckoning and being a program.
 *
 *   cc -O2 -o floor floor.c
 *   floor [TICKS]       reads for TICKS seconds (without it: until it is ended), then prints one line of JSON
 *   floor files         prints the files it reads on this machine, one a line
 *
 * The policy: at most KEEP_OPEN files stay open and are read again with pread, the hottest kind of all containers first; the rest are
 * opened from a kept directory, read and closed. Limits and weights are read so at every sixth tick. A container is a cgroup whose name holds
 * 64 hex digits in a row. Start it after the cgroups are made: it looks for them once. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { KEEP_OPEN = 4096, EVERY = 6, TREES = 6, FILES = 24, BUFFER = 64 << 10 };

struct file {
    int tree; /* v1: which hierarchy; v2: 0 */
    const char *name;
    int seldom; /* a limit or a weight */
};

/* Hottest first. */
static const char *const V1_TREES[TREES] = {"cpuacct", "memory", "cpu", "pids", "blkio", "cpuset"};
static const struct file V1[] = {
    {0, "cpuacct.usage", 0}, {1, "memory.usage_in_bytes", 0}, {1, "memory.stat", 0}, {3, "pids.current", 0}, {0, "cpuacct.stat", 0}, {2, "cpu.stat", 0},
    {4, "blkio.throttle.io_service_bytes_recursive", 0}, {4, "blkio.throttle.io_serviced_recursive", 0}, {1, "memory.memsw.usage_in_bytes", 0},
    {1, "memory.oom_control", 0}, {1, "memory.failcnt", 0}, {1, "memory.kmem.usage_in_bytes", 0}, {1, "memory.max_usage_in_bytes", 0},
    {2, "cpu.cfs_quota_us", 1}, {2, "cpu.cfs_period_us", 1}, {2, "cpu.shares", 1}, {1, "memory.limit_in_bytes", 1}, {1, "memory.memsw.limit_in_bytes", 1},
    {3, "pids.max", 1}, {5, "cpuset.effective_cpus", 1}, {4, "blkio.weight", 1}, {4, "blkio.bfq.weight", 1}, {0, NULL, 0},
};
static const char *const V2_TREES[TREES] = {""};
static const struct file V2[] = {
    {0, "cpu.stat", 0}, {0, "memory.current", 0}, {0, "memory.stat", 0}, {0, "pids.current", 0}, {0, "io.stat", 0}, {0, "memory.events", 0},
    {0, "cpu.pressure", 0}, {0, "memory.pressure", 0}, {0, "io.pressure", 0}, {0, "memory.swap.current", 0}, {0, "memory.peak", 0},
    {0, "cpu.max", 1}, {0, "memory.max", 1}, {0, "memory.swap.max", 1}, {0, "pids.max", 1}, {0, "cpuset.cpus.effective", 1}, {0, "cpu.weight", 1},
    {0, "io.weight", 1}, {0, NULL, 0},
};

struct container {
    int folder[TREES]; /* -1: no such hierarchy */
    int kept[FILES];   /* -1: opened each time */
    char absent[FILES];
};

static const char *const *trees;
static const struct file *files;
static char root[64]; /* of the tree that is walked */
static struct container *containers;
static long count;

static int holds_an_id(const char *name) {
    int run = 0;
    for (; *name && run < 64; name++) run = isxdigit((unsigned char)*name) ? run + 1 : 0;
    return run == 64;
}

static int visit(const char *path, const struct stat *about, int type, struct FTW *where) {
    (void)about;
    if (type != FTW_D || !holds_an_id(path + where->base)) return 0;
    containers = realloc(containers, (size_t)(count + 1) * sizeof *containers);
    struct container *new = &containers[count++];
    for (int tree = 0; tree < TREES; tree++) {
        char folder[4096];
        new->folder[tree] = -1;
        if (trees[tree] == NULL) continue;
        snprintf(folder, sizeof folder, "/sys/fs/cgroup%s%s%s", *trees[tree] ? "/" : "", trees[tree], path + strlen(root));
        new->folder[tree] = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (new->folder[tree] < 0 && errno == EMFILE) {
            fprintf(stderr, "floor: out of file descriptors after %ld containers: raise the hard limit (ulimit -Hn)\n", count);
            exit(1);
        }
    }
    memset(new->kept, -1, sizeof new->kept);
    memset(new->absent, 0, sizeof new->absent);
    return 0;
}

/* A file that is not there once is not asked for again. */
static int opened(struct container *of, int file) {
    int folder = of->folder[files[file].tree];
    int it = folder < 0 ? -1 : openat(folder, files[file].name, O_RDONLY | O_CLOEXEC);
    if (it < 0) of->absent[file] = 1;
    return it;
}

static long keep(void) {
    long kept = 0;
    for (int file = 0; files[file].name; file++)
        for (long i = 0; i < count && !files[file].seldom && kept < KEEP_OPEN; i++)
            kept += (containers[i].kept[file] = opened(&containers[i], file)) >= 0;
    return kept;
}

static size_t look(long tick) {
    static char text[BUFFER];
    size_t bytes = 0;
    for (long i = 0; i < count; i++) {
        struct container *it = &containers[i];
        for (int file = 0; files[file].name; file++) {
            if (it->absent[file] || (files[file].seldom && tick % EVERY != 0)) continue;
            int from = it->kept[file] >= 0 ? it->kept[file] : opened(it, file);
            if (from < 0) continue;
            ssize_t length = pread(from, text, sizeof text, 0);
            bytes += length > 0 ? (size_t)length : 0;
            if (from != it->kept[file]) close(from);
        }
    }
    return bytes;
}

static double micros(struct timeval t) { return (double)t.tv_sec * 1e6 + (double)t.tv_usec; }

int main(int argc, char **argv) {
    int v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
    trees = v2 ? V2_TREES : V1_TREES;
    files = v2 ? V2 : V1;
    if (argc > 1 && strcmp(argv[1], "files") == 0) {
        for (int file = 0; files[file].name; file++) puts(files[file].name);
        return 0;
    }
    long ticks = argc > 1 ? atol(argv[1]) : 0;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    snprintf(root, sizeof root, "/sys/fs/cgroup%s", v2 ? "" : "/memory");
    nftw(root, visit, 32, FTW_PHYS);
    if (count == 0) {
        fprintf(stderr, "floor: no container cgroup below %s\n", root);
        return 1;
    }
    long kept = keep();
    look(0); /* the first look of a file is dearer: left out, as the looks before a steady state are for Tare */
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    size_t bytes = 0;
    for (long tick = 1; ticks == 0 || tick <= ticks; tick++) {
        next.tv_sec++;
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR) {}
        bytes += look(tick);
    }
    getrusage(RUSAGE_SELF, &after);
    double looks = (double)ticks * (double)count;
    printf("{\"containers\":%ld,\"kept_open\":%ld,\"ticks\":%ld,\"bytes\":%.0f,", count, kept, ticks, (double)bytes / looks);
    printf("\"user_us\":%.2f,", (micros(after.ru_utime) - micros(before.ru_utime)) / looks);
    printf("\"system_us\":%.2f}\n", (micros(after.ru_stime) - micros(before.ru_stime)) / looks);
    return 0;
}
