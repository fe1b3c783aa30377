/* Plays nvidia-smi for a scripted machine; see README.md. */
#define _GNU_SOURCE
#include "../scripted-machine/machine.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static struct machine machine;
static char directory[PATH_MAX];
static const char *line_end = "\n";
static int units = 1;
static int header = 1;

/* ---- Cells ------------------------------------------------------------------------------------------------------- */

/* How the value of a key becomes a cell. */
enum shape { NUMBER, MIB, WATTS, MASK, YES_NO, ENABLED, TEXT };

struct field {
    const char *name;
    const char *key;
    enum shape shape;
    const char *unit;
    int since, before; /* drivers that know it */
};

static const struct field gpu_fields[] = {
    {"name", "name", TEXT, NULL, 0, 9999},
    {"uuid", "uuid", TEXT, NULL, 0, 9999},
    {"driver_version", NULL, TEXT, NULL, 0, 9999},
    {"pci.bus_id", "gpu", TEXT, NULL, 0, 9999},
    {"index", NULL, NUMBER, NULL, 0, 9999},
    {"count", NULL, NUMBER, NULL, 0, 9999},
    {"utilization.gpu", "utilization_gpu", NUMBER, "%", 0, 9999},
    {"utilization.memory", "utilization_memory", NUMBER, "%", 0, 9999},
    {"utilization.encoder", "encoder", NUMBER, "%", 535, 9999},
    {"utilization.decoder", "decoder", NUMBER, "%", 535, 9999},
    {"memory.total", "memory_total", MIB, "MiB", 0, 9999},
    {"memory.used", "memory_used", MIB, "MiB", 0, 9999},
    {"memory.free", NULL, MIB, "MiB", 0, 9999},
    {"memory.reserved", "memory_reserved", MIB, "MiB", 510, 9999},
    {"temperature.gpu", "temperature", NUMBER, NULL, 0, 9999},
    {"temperature.memory", "memory_temperature", NUMBER, NULL, 0, 9999},
    {"fan.speed", "fan", NUMBER, "%", 0, 9999},
    {"power.draw", "power_mw", WATTS, "W", 0, 9999},
    {"power.limit", "management_limit_mw", WATTS, "W", 0, 9999},
    {"enforced.power.limit", "enforced_limit_mw", WATTS, "W", 0, 9999},
    {"clocks_event_reasons.active", "throttle", MASK, NULL, 535, 9999},
    {"clocks_throttle_reasons.active", "throttle", MASK, NULL, 0, 535},
    {"clocks.current.sm", "clock_sm", NUMBER, "MHz", 0, 9999},
    {"clocks.max.sm", "clock_sm_max", NUMBER, "MHz", 0, 9999},
    {"clocks.current.memory", "clock_memory", NUMBER, "MHz", 0, 9999},
    {"pcie.link.gen.current", "pcie_link_gen", NUMBER, NULL, 0, 9999},
    {"pcie.link.width.current", "pcie_link_width", NUMBER, NULL, 0, 9999},
    {"ecc.errors.uncorrected.aggregate.total", "ecc_uncorrected", NUMBER, NULL, 0, 9999},
    {"ecc.errors.corrected.aggregate.total", "ecc_corrected", NUMBER, NULL, 0, 9999},
    {"remapped_rows.pending", "remapped_pending", YES_NO, NULL, 455, 9999},
    {"mig.mode.current", "mig_mode", ENABLED, NULL, 450, 9999},
    {NULL, NULL, NUMBER, NULL, 0, 0},
};

static const char *const app_fields[] = {"gpu_uuid", "gpu_name", "pid", "process_name", "used_memory", "used_gpu_memory", NULL};

static const char *absence(int code)
{
    switch (code) {
    case 3: return "[N/A]";
    case 4: return "[Insufficient Permissions]";
    case 13: return "[Function Not Found]";
    case 15: return "[GPU is lost]";
    case 16: return "[GPU requires reset]";
    default: return "[Unknown Error]";
    }
}

static void print_value(struct machine_value value, enum shape shape, const char *unit)
{
    if (value.code) {
        printf("%s", absence(value.code));
        return;
    }

    switch (shape) {
    case MIB: printf("%llu", value.number >> 20); break;
    case WATTS: printf("%llu.%02llu", value.number / 1000, value.number % 1000 / 10); break;
    case MASK: printf("0x%016llX", value.number); break;
    case YES_NO: printf("%s", value.number ? "Yes" : "No"); break;
    case ENABLED: printf("%s", value.number ? "Enabled" : "Disabled"); break;
    default: printf("%lld", (long long)value.number); break;
    }

    if (units && unit)
        printf(" %s", unit);
}

static void print_text(const struct machine_section *gpu, const char *key)
{
    const char *text = machine_text(gpu, key, 0);

    if (text && *text != '!')
        printf("%s", text);
    else
        printf("%s", absence(text ? atoi(text + 1) : 3));
}

static void print_cell(const struct field *field, int index)
{
    const struct machine_section *gpu = &machine.gpus[index];
    struct machine_value value = {0, 0};

    if (!strcmp(field->name, "driver_version")) {
        printf("%s", machine_text(&machine.all, "driver", 0));
    } else if (field->shape == TEXT) {
        print_text(gpu, field->key);
    } else {
        if (!strcmp(field->name, "memory.free")) {
            struct machine_value used = machine_value(gpu, "memory_used");

            value = machine_value(gpu, "memory_total");
            value.code = value.code ? value.code : used.code;
            value.number -= used.number + machine_number(gpu, "memory_reserved", 0);
        } else if (!strcmp(field->name, "memory.reserved"))
            value = (struct machine_value){machine_value(gpu, "memory_total").code, machine_number(gpu, "memory_reserved", 0)};
        else if (field->key)
            value = machine_value(gpu, field->key);
        else
            value.number = !strcmp(field->name, "count") ? (unsigned long long)machine.gpu_count : (unsigned long long)index;
        print_value(value, field->shape, field->unit);
    }
}

/* ---- What goes wrong --------------------------------------------------------------------------------------------- */

static void pause_ms(unsigned long long milliseconds)
{
    struct timespec time = {(time_t)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000};

    while (nanosleep(&time, &time))
        ;
}

static void work_ms(unsigned long long milliseconds)
{
    struct timespec time;

    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    while ((unsigned long long)time.tv_sec * 1000 + (unsigned long long)time.tv_nsec / 1000000 < milliseconds);
}

static void hang(void)
{
    if (machine_number(&machine.all, "smi_hang_deaf", 0)) {
        signal(SIGTERM, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
    }
    for (;;)
        pause();
}

/* A line of the script, `\xNN` being one byte. */
static void say(const char *key)
{
    const char *text = machine_text(&machine.all, key, 0);
    unsigned byte;

    if (!text)
        return;
    for (; *text; text++)
        if (text[0] == '\\' && text[1] == 'x' && sscanf(text + 2, "%2x", &byte) == 1) {
            putchar((int)byte);
            text += 3;
        } else {
            putchar(*text);
        }
    printf("%s", line_end);
}

static void replay(const char *file)
{
    char buffer[4096];
    size_t length;
    FILE *source = fopen(file, "r");

    while (source && (length = fread(buffer, 1, sizeof buffer, source)))
        fwrite(buffer, 1, length, stdout);
    if (source)
        fclose(source);
}

/* What the original prints when nvmlInit fails, and ends with. */
static void fail_to_initialize(int code)
{
    char version[32] = "";

    switch (code) {
    case 0: return;
    case 9:
        puts("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is "
             "installed and running.\n");
        exit(9);
    case 12:
        puts("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA Display Driver is properly "
             "installed and present in your system.\nPlease also try adding directory that contains libnvidia-ml.so to your system PATH.");
        exit(12);
    case 18:
        if (machine_text(&machine.all, "driver", 0))
            strncpy(version, machine_text(&machine.all, "driver", 0), sizeof version - 1);
        if (strrchr(version, '.') && strchr(version, '.') != strrchr(version, '.'))
            *strrchr(version, '.') = 0;
        printf("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: %s\n", version);
        exit(18);
    case 4: puts("Failed to initialize NVML: Insufficient Permissions"); exit(4);
    default: puts("Failed to initialize NVML: Unknown Error"); exit(255);
    }
}

/* ---- Queries ----------------------------------------------------------------------------------------------------- */

/* The field that a name means, if this driver knows it. */
static const struct field *known_field(const char *name)
{
    const char *driver = machine_text(&machine.all, "driver", 0);
    int major = driver ? atoi(driver) : 9998;
    const struct field *field = gpu_fields;
    const char *unknown;

    for (int place = 0; (unknown = machine_text(&machine.all, "smi_unknown", place)); place++)
        if (!strcmp(unknown, name))
            return NULL;
    while (field->name && (strcmp(field->name, name) || major < field->since || major >= field->before))
        field++;
    return field->name ? field : NULL;
}

static void complain(const char *name)
{
    printf("Field \"%s\" is not a valid field to query.\n\n", name);
    exit(2);
}

static void print_round(const struct field *const *fields, int count, int round)
{
    const char *file = machine_text(&machine.all, "smi_replay", 0);
    const char *headers = machine_text(&machine.all, "smi_header", 0);

    if (file) {
        replay(file);
        return;
    }

    if (header && (round == 0 || (headers && !strcmp(headers, "every"))) && !(headers && !strcmp(headers, "never")) && machine.gpu_count > 0) {
        for (int i = 0; i < count; i++) {
            printf("%s%s", i ? ", " : "", fields[i]->name);
            if (fields[i]->unit)
                printf(" [%s]", fields[i]->unit);
        }
        printf("%s", line_end);
    }

    say("smi_say");
    if (machine.gpu_count == 0)
        printf("No devices were found%s", line_end);

    for (int index = 0; index < machine.gpu_count; index++) {
        const char *bus = machine_text(&machine.gpus[index], "gpu", 0);

        if (machine_is_lost(&machine.gpus[index], (unsigned long long)round)) {
            printf("Unable to determine the device handle for GPU%s: GPU is lost.  Reboot the system to recover this GPU%s", bus, line_end);
        } else {
            for (int i = 0; i < count; i++) {
                printf("%s", i ? ", " : "");
                print_cell(fields[i], index);
            }
            printf("%s", line_end);
        }
        if (index == 0)
            say("smi_say_after");
    }
}

static int exit_code(int round)
{
    for (int index = 0; index < machine.gpu_count; index++)
        if (machine_is_lost(&machine.gpus[index], (unsigned long long)round))
            return 15;
    return (int)machine_number(&machine.all, "smi_exit", 0);
}

static int query_gpus(char *names, long loop_ms)
{
    const struct field *fields[64];
    char path[PATH_MAX + 16];
    int count = 0;

    for (char *name = strtok(names, ","); name && count < 64; name = strtok(NULL, ","))
        if (!(fields[count++] = known_field(name)))
            complain(name);

    fail_to_initialize((int)machine_number(&machine.all, "init", 0));
    work_ms(machine_number(&machine.all, "smi_cpu_ms", 0));
    snprintf(path, sizeof path, "%s/machine.txt", directory);

    for (int round = 0;; round++) {
        const char *die = machine_text(&machine.all, "smi_die_after", 0);

        if (die && (unsigned long long)round >= machine_word(&die).number) {
            fflush(stdout);
            exit((int)machine_word(&die).number);
        }
        if ((unsigned long long)round >= machine_number(&machine.all, "smi_hang_after", ~0ULL))
            hang();
        pause_ms(machine_number(&machine.all, "smi_ms", 0));
        print_round(fields, count, round);
        if (!loop_ms)
            return exit_code(round);
        if (!machine_number(&machine.all, "smi_hold", 0) && fflush(stdout))
            return 1;
        pause_ms((unsigned long long)loop_ms);
        machine_load(&machine, path);
    }
}

static int query_apps(char *names)
{
    const char *fields[16];
    int count = 0;

    for (char *name = strtok(names, ","); name && count < 16; name = strtok(NULL, ",")) {
        const char *const *known = app_fields;

        while (*known && strcmp(*known, name))
            known++;
        if (!*known)
            complain(name);
        fields[count++] = *known;
    }

    fail_to_initialize((int)machine_number(&machine.all, "init", 0));
    pause_ms(machine_number(&machine.all, "smi_ms", 0));
    if (machine_text(&machine.all, "smi_apps_exit", 0)) {
        puts("Insufficient Permissions");
        return (int)machine_number(&machine.all, "smi_apps_exit", 0);
    }

    for (int i = 0; header && i < count; i++) {
        int memory = !strncmp(fields[i], "used", 4);
        printf("%s%s%s", memory ? "used_gpu_memory [MiB]" : fields[i], i + 1 < count ? ", " : line_end, "");
    }

    for (int index = 0; index < machine.gpu_count; index++) {
        const struct machine_section *gpu = &machine.gpus[index];
        const char *text;

        if (machine_text(gpu, "processes", 0))
            continue;
        for (int place = 0; (text = machine_text(gpu, "process", place)); place++) {
            struct machine_value pid = machine_word(&text);
            struct machine_value memory = machine_word(&text);

            for (int i = 0; i < count; i++) {
                if (!strcmp(fields[i], "gpu_uuid"))
                    print_text(gpu, "uuid");
                else if (!strcmp(fields[i], "gpu_name"))
                    print_text(gpu, "name");
                else if (!strcmp(fields[i], "pid"))
                    print_value(pid, NUMBER, NULL);
                else if (!strcmp(fields[i], "process_name"))
                    printf("%s", *text ? text : "[Not Found]");
                else
                    print_value(memory, MIB, "MiB");
                printf("%s", i + 1 < count ? ", " : line_end);
            }
        }
    }
    return 0;
}

static int list(void)
{
    fail_to_initialize((int)machine_number(&machine.all, "init", 0));
    for (int index = 0; index < machine.gpu_count; index++) {
        printf("GPU %d: ", index);
        print_text(&machine.gpus[index], "name");
        printf(" (UUID: ");
        print_text(&machine.gpus[index], "uuid");
        printf(")\n");
    }
    return 0;
}

static void note_start(char **arguments)
{
    char path[PATH_MAX + 16];
    FILE *file;

    if (!machine_number(&machine.all, "smi_log", 0))
        return;
    snprintf(path, sizeof path, "%s/starts.txt", directory);
    if (!(file = fopen(path, "a")))
        return;
    fprintf(file, "%d", getpid());
    while (*++arguments)
        fprintf(file, " %s", *arguments);
    fprintf(file, "\n");
    fclose(file);
}

int main(int argc, char **argv)
{
    char program[PATH_MAX] = "";
    char path[PATH_MAX + 16];
    char *gpus = NULL, *apps = NULL;
    long loop_ms = 0;
    size_t hold;
    const char *text;

    if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        return 255;
    strcpy(directory, dirname(program));
    snprintf(path, sizeof path, "%s/machine.txt", directory);
    if (!machine_load(&machine, path)) {
        fprintf(stderr, "no %s\n", path);
        return 255;
    }

    note_start(argv);
    if ((hold = (size_t)machine_number(&machine.all, "smi_hold", 0)))
        setvbuf(stdout, NULL, _IOFBF, hold);
    if ((text = machine_text(&machine.all, "smi_line_end", 0)) && !strcmp(text, "crlf"))
        line_end = "\r\n";

    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--query-gpu=", 12)) {
            gpus = argv[i] + 12;
        } else if (!strncmp(argv[i], "--query-compute-apps=", 21)) {
            apps = argv[i] + 21;
        } else if (!strncmp(argv[i], "--format=csv", 12)) {
            units = !strstr(argv[i], "nounits");
            header = !strstr(argv[i], "noheader");
        } else if (!strncmp(argv[i], "--loop-ms=", 10)) {
            loop_ms = atol(argv[i] + 10);
        } else if (!strcmp(argv[i], "-L")) {
            return list();
        } else {
            printf("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n\n");
            return 1;
        }
    }

    return gpus ? query_gpus(gpus, loop_ms) : apps ? query_apps(apps) : 1;
}
