/* Lets other programs play a GPU: a GPU with the key `play FILE` takes what it does from that file, which the programs map
   into memory and write while they run. README.md says what the file holds; bench/lab/gpu.py writes it. */
#ifndef NVML_STUB_PLAY_H
#define NVML_STUB_PLAY_H

#include "../scripted-machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PLAY_SLOTS = 8, PLAY_PIECES = 1024, PLAY_BINS = 512, PLAY_IDLE = 120 };

/* One stretch of GPU work, by CLOCK_MONOTONIC in nanoseconds; an end of 0 is not known yet. Activities and power are in
   thousandths, power of the limit. */
struct play_piece {
    uint64_t begin, end;
    uint16_t power, sm, tensor, dram;
    uint32_t pcie_kib_s, nvlink_kib_s;
};

/* What one process does; pid 0 is nobody. `written` counts the pieces: the newest one is at (written - 1) % PLAY_PIECES. */
struct play_slot {
    uint32_t pid, reserved;
    uint64_t memory, written, nvlink_kib;
    struct play_piece pieces[PLAY_PIECES];
};

struct play_file {
    struct play_slot slots[PLAY_SLOTS];
};

/* Means over a stretch of time that ends now, in thousandths; the rates in KiB a second. */
struct play_means {
    unsigned busy, power, sm, tensor, dram;
    unsigned long long pcie_kib_s, nvlink_kib_s;
};

_Static_assert(sizeof(struct play_piece) == 32, "play_piece");
_Static_assert(sizeof(struct play_slot) == 32 + 32 * PLAY_PIECES, "play_slot");

static inline uint64_t play_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The file that a GPU is played from, or NULL. Mapped once for each path and kept. */
static inline const struct play_file *play_open(const struct machine_section *gpu)
{
    static struct { char path[512]; const struct play_file *file; } known[MACHINE_GPUS];
    const char *path = machine_text(gpu, "play", 0);

    if (!path)
        return NULL;

    for (int i = 0; i < MACHINE_GPUS; i++) {
        if (!*known[i].path) {
            int descriptor = open(path, O_RDONLY | O_CLOEXEC);
            void *memory = descriptor < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct play_file), PROT_READ, MAP_SHARED, descriptor, 0);

            if (descriptor >= 0)
                close(descriptor);
            if (memory == MAP_FAILED)
                return NULL;
            snprintf(known[i].path, sizeof known[i].path, "%s", path);
            known[i].file = memory;
        }

        if (!strcmp(known[i].path, path))
            return known[i].file;
    }

    return NULL;
}

static inline int play_is_there(const struct play_slot *slot)
{
    return slot->pid && (kill((pid_t)slot->pid, 0) == 0 || errno != ESRCH);
}

/* Two processes at work at once are busy once, and draw what the hungrier of them does. */
static inline struct play_means play_means(const struct play_file *file, unsigned milliseconds)
{
    uint64_t length = (uint64_t)milliseconds * 1000000, now = play_now(), from = now - length;
    const struct play_piece *bins[PLAY_BINS] = {0};
    struct play_means means = {0, 0, 0, 0, 0, 0, 0};

    for (int s = 0; s < PLAY_SLOTS; s++) {
        const struct play_slot *slot = &file->slots[s];
        uint64_t written = __atomic_load_n(&slot->written, __ATOMIC_ACQUIRE);

        if (!play_is_there(slot))
            continue;

        for (uint64_t n = written; n > 0 && written - n < PLAY_PIECES; n--) {
            const struct play_piece *piece = &slot->pieces[(n - 1) % PLAY_PIECES];
            uint64_t end = piece->end && piece->end < now ? piece->end : now;
            uint64_t begin = piece->begin > from ? piece->begin : from;

            if (piece->end && piece->end <= from)
                break;
            for (uint64_t i = (begin - from) * PLAY_BINS / length; begin < end && i < (end - from) * PLAY_BINS / length; i++)
                if (!bins[i] || bins[i]->power < piece->power)
                    bins[i] = piece;
        }
    }

    for (int i = 0; i < PLAY_BINS; i++) {
        means.power += bins[i] ? bins[i]->power : PLAY_IDLE;
        if (!bins[i])
            continue;
        means.busy += 1000;
        means.sm += bins[i]->sm;
        means.tensor += bins[i]->tensor;
        means.dram += bins[i]->dram;
        means.pcie_kib_s += bins[i]->pcie_kib_s;
        means.nvlink_kib_s += bins[i]->nvlink_kib_s;
    }

    means.busy /= PLAY_BINS;
    means.power /= PLAY_BINS;
    means.sm /= PLAY_BINS;
    means.tensor /= PLAY_BINS;
    means.dram /= PLAY_BINS;
    means.pcie_kib_s /= PLAY_BINS;
    means.nvlink_kib_s /= PLAY_BINS;
    return means;
}

/* Share of the last milliseconds in which one process worked, in thousandths. */
static inline unsigned play_busy(const struct play_slot *slot, unsigned milliseconds)
{
    uint64_t length = (uint64_t)milliseconds * 1000000, now = play_now(), from = now - length, busy = 0, seen = now;
    uint64_t written = __atomic_load_n(&slot->written, __ATOMIC_ACQUIRE);

    for (uint64_t n = written; n > 0 && written - n < PLAY_PIECES; n--) {
        const struct play_piece *piece = &slot->pieces[(n - 1) % PLAY_PIECES];
        uint64_t end = piece->end && piece->end < seen ? piece->end : seen;
        uint64_t begin = piece->begin > from ? piece->begin : from;

        if (piece->end && piece->end <= from)
            break;
        /* Newest first: what a later piece covers counts once. */
        if (begin < end) {
            busy += end - begin;
            seen = begin;
        }
    }

    return (unsigned)(busy * 1000 / length);
}

/* GPM is over the time between two samples, which whoever asks for metrics sets here; a second for everybody else. */
static unsigned play_gpm_ms = 1000;

/* Utilisation is over a sixth of a second, the shortest that NVML documents; power over a second, as on Ampere and newer. */
enum { PLAY_UTILIZATION_MS = 167, PLAY_POWER_MS = 1000 };

/* A number as it is played, else as the text has it. */
static inline struct machine_value play_value(const struct machine_section *gpu, const char *key)
{
    struct machine_value value = machine_value(gpu, key);
    const struct play_file *file = value.code ? NULL : play_open(gpu);

    if (!file)
        return value;

    if (!strcmp(key, "utilization_gpu"))
        value.number = (play_means(file, PLAY_UTILIZATION_MS).busy + 5) / 10;
    else if (!strcmp(key, "utilization_memory"))
        value.number = (play_means(file, PLAY_UTILIZATION_MS).dram + 5) / 10;
    else if (!strcmp(key, "power_mw"))
        value.number = machine_number(gpu, "enforced_limit_mw", 0) / 1000 * play_means(file, PLAY_POWER_MS).power;
    else if (!strcmp(key, "throttle"))
        /* 1: nothing runs. The other reasons are of a GPU at work. */
        value.number = play_means(file, PLAY_UTILIZATION_MS).busy ? value.number : 1;
    else if (!strcmp(key, "pcie_rx_kib"))
        value.number = play_means(file, 20).pcie_kib_s;
    else if (!strcmp(key, "nvlink_rx_kib") || !strcmp(key, "nvlink_tx_kib"))
        for (int s = 0; s < PLAY_SLOTS; s++)
            value.number += file->slots[s].nvlink_kib;
    else if (!strcmp(key, "memory_used"))
        for (int s = 0; s < PLAY_SLOTS; s++)
            value.number += play_is_there(&file->slots[s]) ? file->slots[s].memory : 0;
    else if (!strcmp(key, "gpm_sm"))
        value.number = (play_means(file, play_gpm_ms).sm + 5) / 10;
    else if (!strcmp(key, "gpm_tensor"))
        value.number = (play_means(file, play_gpm_ms).tensor + 5) / 10;
    else if (!strcmp(key, "gpm_dram"))
        value.number = (play_means(file, play_gpm_ms).dram + 5) / 10;
    return value;
}

/* A text as it is played, else as it stands: the processes are those at work now. */
static inline const char *play_text(const struct machine_section *gpu, const char *key, int place)
{
    static char line[128];
    const struct play_file *file = strcmp(key, "process") ? NULL : play_open(gpu);

    for (int s = 0; file && s < PLAY_SLOTS; s++)
        if (play_is_there(&file->slots[s]) && place-- == 0) {
            snprintf(line, sizeof line, "%u %llu python3", file->slots[s].pid, (unsigned long long)file->slots[s].memory);
            return line;
        }

    return file ? NULL : machine_text(gpu, key, place);
}

/* What is read of a GPU from here on may be played. */
#define machine_value(section, key) play_value(section, key)
#define machine_text(section, key, place) play_text(section, key, place)

#endif
