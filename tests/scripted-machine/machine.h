/* Reads machine.txt (see README.md) for the fake nvidia-smi and the stub library. Not thread-safe; what the functions
   return is valid until the next machine_load. */
#ifndef SCRIPTED_MACHINE_H
#define SCRIPTED_MACHINE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MACHINE_GPUS = 64, MACHINE_PAIRS = 8192 };

struct machine_pair {
    const char *key;
    const char *text;
};

/* The pairs of one section: those of the machine, or those of a GPU. */
struct machine_section {
    const struct machine_pair *first;
    int count;
};

struct machine {
    char *text;
    struct stat seen;
    struct machine_pair pairs[MACHINE_PAIRS];
    struct machine_section all;
    struct machine_section gpus[MACHINE_GPUS];
    int gpu_count;
};

/* A number, or the return code that stands in its place. */
struct machine_value {
    int code;
    unsigned long long number;
};

static inline char *machine_trim(char *text)
{
    char *end = text + strlen(text);

    while (*text == ' ' || *text == '\t')
        text++;
    while (end > text && strchr(" \t\r\n", end[-1]))
        *--end = 0;
    return text;
}

static inline void machine_parse(struct machine *machine)
{
    struct machine_section *section = &machine->all;
    char *rest = machine->text;
    char *line;
    int count = 0;

    machine->gpu_count = 0;
    section->first = machine->pairs;
    section->count = 0;

    while ((line = strsep(&rest, "\n")) && count < MACHINE_PAIRS) {
        char *key = machine_trim(line);
        char *text = key + strcspn(key, " \t");

        if (!*key || *key == '#')
            continue;
        if (*text)
            *text++ = 0;
        if (!strcmp(key, "gpu") && machine->gpu_count < MACHINE_GPUS) {
            section = &machine->gpus[machine->gpu_count++];
            section->first = &machine->pairs[count];
            section->count = 0;
        }
        machine->pairs[count].key = key;
        machine->pairs[count++].text = machine_trim(text);
        section->count++;
    }
}

/* Reads the file if it has changed since the last time; without the file the machine stays as it was. Returns 1 when
   there is a machine. */
static inline int machine_load(struct machine *machine, const char *path)
{
    struct stat now;
    FILE *file;
    char *text;
    size_t length;

    if (stat(path, &now))
        return machine->text != NULL;
    if (machine->text && now.st_ino == machine->seen.st_ino && now.st_size == machine->seen.st_size
        && now.st_mtim.tv_sec == machine->seen.st_mtim.tv_sec && now.st_mtim.tv_nsec == machine->seen.st_mtim.tv_nsec)
        return 1;
    if (!(file = fopen(path, "r")))
        return machine->text != NULL;
    text = malloc((size_t)now.st_size + 1);
    length = fread(text, 1, (size_t)now.st_size, file);
    fclose(file);
    text[length] = 0;
    free(machine->text);
    machine->text = text;
    machine->seen = now;
    machine_parse(machine);
    return 1;
}

/* The text of the key's place-th line in the section, from 0; NULL when there is none. */
static inline const char *machine_text(const struct machine_section *section, const char *key, int place)
{
    for (int i = 0; i < section->count; i++)
        if (!strcmp(section->first[i].key, key) && place-- == 0)
            return section->first[i].text;
    return NULL;
}

/* Reads `97`, `0x1f` or `!15`, and moves on to the next word if the caller wants to. */
static inline struct machine_value machine_word(const char **text)
{
    struct machine_value value = {0, 0};
    char *end;

    if (**text == '!')
        value.code = (int)strtol(*text + 1, &end, 10);
    else
        value.number = strtoull(*text, &end, 0);
    *text = end + strspn(end, " \t");
    return value;
}

static inline struct machine_value machine_value(const struct machine_section *section, const char *key)
{
    const char *text = machine_text(section, key, 0);
    struct machine_value none = {3, 0};

    return text ? machine_word(&text) : none;
}

/* The number of a key, or another one where it is not there. */
static inline unsigned long long machine_number(const struct machine_section *section, const char *key, unsigned long long otherwise)
{
    struct machine_value value = machine_value(section, key);

    return value.code ? otherwise : value.number;
}

/* Whether the GPU is lost at this call or round, counted from 0. */
static inline int machine_is_lost(const struct machine_section *gpu, unsigned long long call)
{
    return machine_number(gpu, "lost", 0) == 1
        || (call >= machine_number(gpu, "lost_after", ~0ULL) && call < machine_number(gpu, "back_after", ~0ULL));
}

#endif
