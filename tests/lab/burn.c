/* burn.c - uses CPU, memory, disk and network in known amounts and says what it used, by its own account (getrusage, smaps).
 *
 *   cc -O2 -static -o burn burn.c
 *   burn STEP...            does the steps in order, then exits 0
 *
 *     user SECONDS          burns CPU in user mode until SECONDS more are used
 *     system SECONDS        the same in the kernel (reads /dev/zero)
 *     hold BYTES            takes anonymous memory, touches every page and keeps it
 *     cache BYTES PATH      writes a file through the page cache and waits until it is on the disk
 *     write BYTES PATH      writes a file with O_DIRECT: the bytes reach the device as they are
 *     read BYTES PATH       reads a file with O_DIRECT
 *     receive BYTES PORT    accepts one TCP connection and reads it to its end; BYTES must have come
 *     send BYTES HOST PORT  sends bytes to it (HOST: an IPv4 address), trying for 10 s to connect
 *     child STEP            does one step in a child process and waits for its end, however it ends
 *     wait                  waits for SIGUSR1 (one that came before counts)
 *     report                prints one line of JSON: what was used so far
 *     rest                  sleeps until SIGTERM, then exits 0
 *     exit CODE             exits
 *
 * BYTES may end in K or M (1024, 1024 x 1024). As the first process of a container it needs no library, shell or file beside it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 1 << 20, EXIT_USAGE = 64, EXIT_FAILED = 70 };

static char *block; /* one MiB, page-aligned as O_DIRECT wants it */

static void fail(const char *what) {
    perror(what);
    exit(EXIT_FAILED);
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

static struct rusage used(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage;
}

static size_t bytes(const char *text) {
    char *unit;
    size_t amount = strtoull(text, &unit, 10);
    return amount << (*unit == 'M' ? 20 : *unit == 'K' ? 10 : 0);
}

static void burn_user(char **arguments) {
    /* The clock is asked about once a millisecond, so that asking (system time) does not count. */
    volatile unsigned long sum = 0;
    for (double end = seconds(used().ru_utime) + atof(arguments[0]); seconds(used().ru_utime) < end;)
        for (unsigned long i = 0; i < 1000000; i++) sum += i * i;
}

static void burn_system(char **arguments) {
    int zero = open("/dev/zero", O_RDONLY);
    if (zero < 0) fail("/dev/zero");
    for (double end = seconds(used().ru_stime) + atof(arguments[0]); seconds(used().ru_stime) < end;)
        for (int i = 0; i < 4; i++)
            if (read(zero, block, BLOCK) != BLOCK) fail("/dev/zero");
    close(zero);
}

static void hold(char **arguments) {
    size_t amount = bytes(arguments[0]);
    char *pages = mmap(NULL, amount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) fail("hold");
    memset(pages, 1, amount);
}

/* Moves `amount` bytes through `file` in blocks. */
static void give(int file, size_t amount, const char *what) {
    for (ssize_t given; amount > 0; amount -= (size_t)given)
        if ((given = write(file, block, amount < BLOCK ? amount : BLOCK)) <= 0) fail(what);
}

static void take(int file, size_t amount, const char *what) {
    for (ssize_t taken; amount > 0; amount -= (size_t)taken)
        if ((taken = read(file, block, amount < BLOCK ? amount : BLOCK)) <= 0) fail(what);
}

static int opened(const char *path, int flags) {
    int file = open(path, flags, 0600);
    if (file < 0) fail(path);
    return file;
}

static void write_cached(char **arguments) {
    int file = opened(arguments[1], O_WRONLY | O_CREAT | O_TRUNC);
    give(file, bytes(arguments[0]), arguments[1]);
    if (fsync(file) != 0) fail(arguments[1]);
    close(file);
}

static void write_direct(char **arguments) {
    int file = opened(arguments[1], O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT);
    give(file, bytes(arguments[0]), arguments[1]);
    close(file);
}

static void read_direct(char **arguments) {
    int file = opened(arguments[1], O_RDONLY | O_DIRECT);
    take(file, bytes(arguments[0]), arguments[1]);
    close(file);
}

static struct sockaddr_in address(const char *host, const char *port) {
    struct sockaddr_in it = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    if (inet_pton(AF_INET, host, &it.sin_addr) != 1) fail(host);
    return it;
}

static void receive(char **arguments) {
    struct sockaddr_in here = address("0.0.0.0", arguments[1]);
    int door = socket(AF_INET, SOCK_STREAM, 0), peer;
    if (door < 0 || bind(door, (struct sockaddr *)&here, sizeof here) || listen(door, 1) || (peer = accept(door, NULL, NULL)) < 0) fail("receive");
    take(peer, bytes(arguments[0]), "receive");
    while (read(peer, block, BLOCK) > 0) {}
    close(peer);
    close(door);
}

static void send_to(char **arguments) {
    struct sockaddr_in there = address(arguments[1], arguments[2]);
    for (int tries = 0; tries < 100; tries++) {
        int peer = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(peer, (struct sockaddr *)&there, sizeof there) == 0) {
            give(peer, bytes(arguments[0]), "send");
            close(peer);
            return;
        }
        close(peer);
        usleep(100 * 1000);
    }
    fail("send");
}

/* Sleeps until `signal` comes; SIGTERM ends the program whenever it sleeps. Both are blocked from the start. */
static void sleep_until(int signal) {
    sigset_t awaited;
    int came;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, signal);
    sigwait(&awaited, &came);
    if (came == SIGTERM) exit(0);
}

static void wait_for_go(char **arguments) {
    (void)arguments;
    sleep_until(SIGUSR1);
}

static void rest(char **arguments) {
    (void)arguments;
    for (;;) sleep_until(SIGTERM);
}

static void leave(char **arguments) { exit(atoi(arguments[0])); }

/* Anonymous bytes, counted page by page by the kernel (the counter in /proc/self/status may lag). */
static size_t anonymous(void) {
    char line[256];
    size_t kib = 0;
    FILE *rollup = fopen("/proc/self/smaps_rollup", "r");
    while (rollup && fgets(line, sizeof line, rollup)) sscanf(line, "Anonymous: %zu kB", &kib);
    if (rollup) fclose(rollup);
    return kib << 10;
}

static void report(char **arguments) {
    (void)arguments;
    size_t anon = anonymous();
    struct rusage usage = used(); /* last: what is used from here on stands in no report */
    printf("{\"user\":%.6f,\"system\":%.6f,\"anon\":%zu}\n", seconds(usage.ru_utime), seconds(usage.ru_stime), anon);
    fflush(stdout);
}

struct step {
    const char *name;
    int arguments;
    void (*take)(char **arguments);
};

static const struct step STEPS[] = {
    {"user", 1, burn_user},    {"system", 1, burn_system},  {"hold", 1, hold},    {"cache", 2, write_cached},
    {"write", 2, write_direct}, {"read", 2, read_direct},   {"receive", 2, receive}, {"send", 3, send_to},
    {"wait", 0, wait_for_go},  {"report", 0, report},       {"rest", 0, rest},    {"exit", 1, leave},
};

static const struct step *named(char **words) {
    for (size_t i = 0; *words && i < sizeof STEPS / sizeof *STEPS; i++) {
        int given = 0;
        while (given < STEPS[i].arguments && words[given + 1]) given++;
        if (strcmp(STEPS[i].name, *words) == 0 && given == STEPS[i].arguments) return &STEPS[i];
    }
    fprintf(stderr, "burn: %s is no step, or lacks an argument; the steps are written at the top of burn.c\n", *words ? *words : "nothing");
    exit(EXIT_USAGE);
}

int main(int argc, char **argv) {
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGUSR1);
    sigprocmask(SIG_BLOCK, &ours, NULL);
    if (posix_memalign((void **)&block, 4096, BLOCK) != 0) fail("memory");
    memset(block, 1, BLOCK);
    for (char **words = argv + 1; words < argv + argc;) {
        int in_child = strcmp(*words, "child") == 0;
        if (in_child) words++;
        const struct step *step = named(words);
        pid_t child = in_child ? fork() : 0;
        if (child < 0) fail("fork");
        if (child > 0) waitpid(child, NULL, 0);
        if (child == 0) step->take(words + 1);
        if (child == 0 && in_child) exit(0);
        words += 1 + step->arguments;
    }
    return 0;
}
