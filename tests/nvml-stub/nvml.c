/* A libnvidia-ml.so.1 without a driver: plays the machine of machine.txt. See README.md. */
#define _GNU_SOURCE
#include "../scripted-machine/machine.h"
#include "play.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, TIMED_OUT = 10, GPU_IS_LOST = 15 };

typedef void *device_t;

typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned pid; unsigned long long usedGpuMemory; unsigned gpuInstanceId, computeInstanceId; } process_t;
typedef struct { device_t device; unsigned long long eventType, eventData; unsigned gpuInstanceId, computeInstanceId; } event_t;
typedef struct { unsigned version, sensor; int temperature; } temperature_t;
typedef struct { unsigned metricId; int nvmlReturn; double value; struct { char *shortName, *longName, *unit; } metricInfo; } gpm_metric_t;
typedef struct { unsigned version, numMetrics; struct gpm_sample *sample1, *sample2; gpm_metric_t metrics[333]; } gpm_get_t;
typedef struct { unsigned version, isSupportedDevice; } gpm_support_t;
typedef struct { unsigned long long referenceTime, violationTime; } violation_t;
typedef struct { unsigned pid; unsigned long long timeStamp; unsigned smUtil, memUtil, encUtil, decUtil; } process_sample_t;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char busId[32]; } pci_t;
typedef struct { unsigned fieldId, scopeId; long long timestamp, latencyUsec; unsigned valueType; int nvmlReturn; unsigned long long value; } field_t;

/* The table of layouts in docs/sources.md. */
#define LAYOUT(type, field, at) _Static_assert(offsetof(type, field) == at, #type "." #field)
_Static_assert(sizeof(utilization_t) == 8, "nvmlUtilization_t");
_Static_assert(sizeof(memory_t) == 24, "nvmlMemory_t");
_Static_assert(sizeof(memory_v2_t) == 40, "nvmlMemory_v2_t");
_Static_assert(sizeof(process_t) == 24, "nvmlProcessInfo_t");
_Static_assert(sizeof(event_t) == 32, "nvmlEventData_t");
_Static_assert(sizeof(field_t) == 40, "nvmlFieldValue_t");
_Static_assert(sizeof(temperature_t) == 12, "nvmlTemperature_t");
_Static_assert(sizeof(pci_t) == 68, "nvmlPciInfo_t");
_Static_assert(sizeof(gpm_metric_t) == 40, "nvmlGpmMetric_t");
_Static_assert(sizeof(gpm_get_t) == 13344, "nvmlGpmMetricsGet_t");
_Static_assert(sizeof(gpm_support_t) == 8, "nvmlGpmSupport_t");
_Static_assert(sizeof(violation_t) == 16, "nvmlViolationTime_t");
_Static_assert(sizeof(process_sample_t) == 32, "nvmlProcessUtilizationSample_t");
LAYOUT(gpm_metric_t, nvmlReturn, 4);
LAYOUT(gpm_metric_t, value, 8);
LAYOUT(gpm_metric_t, metricInfo, 16);
LAYOUT(gpm_get_t, numMetrics, 4);
LAYOUT(gpm_get_t, sample1, 8);
LAYOUT(gpm_get_t, sample2, 16);
LAYOUT(gpm_get_t, metrics, 24);
LAYOUT(gpm_support_t, isSupportedDevice, 4);
LAYOUT(violation_t, violationTime, 8);
LAYOUT(process_sample_t, timeStamp, 8);
LAYOUT(process_sample_t, smUtil, 16);
LAYOUT(process_sample_t, memUtil, 20);
LAYOUT(process_sample_t, encUtil, 24);
LAYOUT(process_sample_t, decUtil, 28);
LAYOUT(pci_t, busId, 36);
LAYOUT(utilization_t, memory, 4);
LAYOUT(memory_t, free, 8);
LAYOUT(memory_t, used, 16);
LAYOUT(memory_v2_t, total, 8);
LAYOUT(memory_v2_t, reserved, 16);
LAYOUT(memory_v2_t, free, 24);
LAYOUT(memory_v2_t, used, 32);
LAYOUT(process_t, usedGpuMemory, 8);
LAYOUT(process_t, gpuInstanceId, 16);
LAYOUT(process_t, computeInstanceId, 20);
LAYOUT(event_t, eventType, 8);
LAYOUT(event_t, eventData, 16);
LAYOUT(event_t, gpuInstanceId, 24);
LAYOUT(event_t, computeInstanceId, 28);
LAYOUT(field_t, scopeId, 4);
LAYOUT(field_t, timestamp, 8);
LAYOUT(field_t, latencyUsec, 16);
LAYOUT(field_t, valueType, 24);
LAYOUT(field_t, nvmlReturn, 28);
LAYOUT(field_t, value, 32);

static struct machine machine;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;
static char directory[4096];
static int users;
static unsigned long long generation;
static unsigned long long opened;
static unsigned long long calls[MACHINE_GPUS];
static int delivered[MACHINE_GPUS];

struct event_set { device_t devices[MACHINE_GPUS]; int count, is_broken; };

static void nap(unsigned milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};

    nanosleep(&time, NULL);
}

static unsigned long long milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
}

/* Looks for a new text at most every few milliseconds, so that a call costs little more than one of a real library. */
static void load(void)
{
    static unsigned long long next;
    char path[4200];
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (machine.text && (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000 < next)
        return;
    next = (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000 + 5;

    if (!*directory) {
        Dl_info here;

        dladdr((void *)load, &here);
        snprintf(directory, sizeof directory, "%s", here.dli_fname);
        *strrchr(directory, '/') = 0;
    }

    snprintf(path, sizeof path, "%s/machine.txt", directory);
    machine_load(&machine, path);
}

static int hangs(const struct machine_section *section, const char *name)
{
    const char *text;

    for (int i = 0; (text = machine_text(section, "nvml_hang", i)); i++)
        if (!strcmp(text, name))
            return 1;
    return 0;
}

/* Whether this thread has the library's lock, which nvml_lock asks for. */
static __thread int holds;

/* Every call begins here and ends with leave. index is that of the GPU, or -1. Returns with the gate closed. */
static void enter(const char *name, int index)
{
    pthread_mutex_lock(&gate);
    load();

    if (machine_number(&machine.all, "nvml_lock", 0)) {
        pthread_mutex_unlock(&gate);
        pthread_mutex_lock(&library);
        holds = 1;
        pthread_mutex_lock(&gate);
        load();
    }

    if (machine_number(&machine.all, "nvml_trace", 0)) {
        char path[4200];
        FILE *file;

        snprintf(path, sizeof path, "%s/calls.txt", directory);

        if ((file = fopen(path, "a"))) {
            fprintf(file, "%llu %s %d\n", milliseconds(), name, index);
            fclose(file);
        }
    }

    while (hangs(&machine.all, name) || (index >= 0 && index < machine.gpu_count && hangs(&machine.gpus[index], name))) {
        pthread_mutex_unlock(&gate);
        nap(10);
        pthread_mutex_lock(&gate);
        load();
    }
}

static int leave(int code)
{
    pthread_mutex_unlock(&gate);

    if (holds) {
        holds = 0;
        pthread_mutex_unlock(&library);
    }

    return code;
}

/* A handle: the generation of the driver, the place of a MIG instance from 1, the index from 1. */
static device_t handle_of(int index, int mig)
{
    return (device_t)(uintptr_t)(generation << 16 | (unsigned)mig << 8 | (unsigned)(index + 1));
}

static int index_of(device_t device) { return (int)((uintptr_t)device & 0xff) - 1; }
static int mig_of(device_t device) { return (int)((uintptr_t)device >> 8 & 0xff); }

static int is_ready(void)
{
    return users > 0 && generation == machine_number(&machine.all, "generation", 0);
}

/* What stands in the way of any call for a GPU. */
static int trouble(int index, unsigned long long of_generation)
{
    if (!is_ready() || of_generation != generation)
        return UNINITIALIZED;
    if (index < 0 || index >= machine.gpu_count)
        return INVALID_ARGUMENT;
    if (machine_is_lost(&machine.gpus[index], calls[index]++))
        return GPU_IS_LOST;
    /* After a suspend the sessions that were open then are dead, and new ones work. */
    if (machine_number(&machine.all, "nvml_dead_before", 0) > opened)
        return (int)machine_number(&machine.all, "nvml_dead_code", 999);
    return SUCCESS;
}

static int begin(const char *name, device_t device)
{
    const char *text;

    enter(name, index_of(device));

    for (int i = 0; (text = machine_text(&machine.all, "nvml_refuse", i)); i++)
        if (!strncmp(text, name, strlen(name)) && text[strlen(name)] == ' ')
            return atoi(text + strlen(name));

    return trouble(index_of(device), (uintptr_t)device >> 16);
}

static const struct machine_section *gpu_of(device_t device) { return &machine.gpus[index_of(device)]; }

/* Whether calls succeed and write nothing. */
static int is_mute(void) { return machine_number(&machine.all, "nvml_mute", 0) == 1; }

static int number(const char *name, device_t device, const char *key, unsigned long long *value)
{
    int code = begin(name, device);

    if (code == SUCCESS) {
        struct machine_value found = machine_value(gpu_of(device), key);

        code = mig_of(device) ? NOT_SUPPORTED : found.code;
        if (code == SUCCESS && !is_mute())
            *value = found.number;
    }

    return leave(code);
}

static int small(const char *name, device_t device, const char *key, unsigned *value)
{
    unsigned long long found = *value;
    int code = number(name, device, key, &found);

    if (code == SUCCESS)
        *value = (unsigned)found;
    return code;
}

static int copy(const char *text, char *to, unsigned length)
{
    if (strlen(text) + 1 > length)
        return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}

/* The fields of the MIG instance that a handle is of: GI CI TOTAL USED UUID NAME. */
static const char *mig_fields(device_t device, struct machine_value fields[4])
{
    const char *text = machine_text(gpu_of(device), "mig", mig_of(device) - 1);

    for (int i = 0; text && i < 4; i++)
        fields[i] = machine_word(&text);
    return text;
}

int nvmlInit_v2(void)
{
    int code;

    enter("nvmlInit_v2", -1);
    code = (int)machine_number(&machine.all, "init", 0);

    if (code == SUCCESS && users++ == 0) {
        generation = machine_number(&machine.all, "generation", 0);
        opened++;
    }
    return leave(code);
}

int nvmlShutdown(void)
{
    int code;

    enter("nvmlShutdown", -1);
    code = users > 0 ? SUCCESS : UNINITIALIZED;
    users -= users > 0;
    return leave(code);
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    int code;

    enter("nvmlDeviceGetCount_v2", -1);
    code = is_ready() ? SUCCESS : UNINITIALIZED;
    if (code == SUCCESS)
        *count = (unsigned)machine_number(&machine.all, "nvml_count", machine.gpu_count);
    return leave(code);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device)
{
    int code;

    enter("nvmlDeviceGetHandleByIndex_v2", (int)index);
    code = trouble((int)index, generation);
    if (code == SUCCESS)
        code = (int)machine_number(&machine.gpus[index], "nvml_no_handle", 0);
    if (code == SUCCESS)
        *device = handle_of((int)index, 0);
    return leave(code);
}

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    const char *text;
    int code;

    enter("nvmlSystemGetDriverVersion", -1);
    text = machine_text(&machine.all, "driver", 0);
    code = !is_ready() ? UNINITIALIZED : !text ? NOT_SUPPORTED : copy(text, version, length);
    return leave(code);
}

static int text_of(const char *name, device_t device, const char *key, char *to, unsigned length)
{
    int code = begin(name, device);

    if (code == SUCCESS && mig_of(device)) {
        struct machine_value fields[4];
        const char *uuid = mig_fields(device, fields);
        char word[128] = "";

        if (!uuid)
            code = INVALID_ARGUMENT;
        else if (!strcmp(key, "name"))
            code = copy(uuid + strcspn(uuid, " ") + strspn(uuid + strcspn(uuid, " "), " "), to, length);
        else {
            snprintf(word, sizeof word, "%.*s", (int)strcspn(uuid, " "), uuid);
            code = copy(word, to, length);
        }
    } else if (code == SUCCESS) {
        const char *text = machine_text(gpu_of(device), key, 0);

        code = !text ? NOT_SUPPORTED : *text == '!' ? machine_word(&text).code : copy(text, to, length);
    }

    return leave(code);
}

int nvmlDeviceGetName(device_t device, char *name, unsigned length) { return text_of("nvmlDeviceGetName", device, "name", name, length); }
int nvmlDeviceGetUUID(device_t device, char *uuid, unsigned length) { return text_of("nvmlDeviceGetUUID", device, "uuid", uuid, length); }

int nvmlDeviceGetUtilizationRates(device_t device, utilization_t *rates)
{
    int code = begin("nvmlDeviceGetUtilizationRates", device);

    if (code == SUCCESS) {
        struct machine_value gpu = machine_value(gpu_of(device), "utilization_gpu");
        struct machine_value memory = machine_value(gpu_of(device), "utilization_memory");

        code = mig_of(device) ? NOT_SUPPORTED : gpu.code ? gpu.code : memory.code;
        if (code == SUCCESS && !is_mute())
            *rates = (utilization_t){(unsigned)gpu.number, (unsigned)memory.number};
    }

    return leave(code);
}

static int memory_of(device_t device, memory_v2_t *memory)
{
    struct machine_value total = machine_value(gpu_of(device), "memory_total");
    struct machine_value used = machine_value(gpu_of(device), "memory_used");
    unsigned long long reserved = machine_number(gpu_of(device), "memory_reserved", 0);

    if (mig_of(device)) {
        struct machine_value fields[4];

        if (!mig_fields(device, fields) || (opened == 1 && machine_number(gpu_of(device), "nvml_mig_gone", 0) == (unsigned)mig_of(device)))
            return INVALID_ARGUMENT;
        total = fields[2];
        used = fields[3];
        reserved = 0;
    }

    if (total.code || used.code)
        return total.code ? total.code : used.code;
    memory->total = total.number;
    memory->used = used.number;
    memory->reserved = reserved;
    memory->free = total.number - used.number - reserved;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(device_t device, memory_v2_t *memory)
{
    int code = begin("nvmlDeviceGetMemoryInfo_v2", device);

    if (code == SUCCESS)
        code = memory->version == 0x02000028 ? (int)machine_number(&machine.all, "nvml_memory_v2", 0) : 25;
    if (code == SUCCESS) {
        unsigned long long before = memory->free;

        code = memory_of(device, memory);
        memory->free = machine_number(&machine.all, "nvml_memory_v2_no_free", 0) ? before : memory->free;
    }
    if (code == SUCCESS) {
        memory->total = machine_number(&machine.all, "nvml_memory_v2_total", memory->total);
        memory->used = machine_number(&machine.all, "nvml_memory_v2_used", memory->used);
        memory->free = machine_number(&machine.all, "nvml_memory_v2_free", memory->free);
        memory->reserved = machine_number(&machine.all, "nvml_memory_v2_reserved", memory->reserved);
    }
    return leave(code);
}

int nvmlDeviceGetMemoryInfo(device_t device, memory_t *memory)
{
    memory_v2_t found;
    int code = begin("nvmlDeviceGetMemoryInfo", device);

    if (code == SUCCESS)
        code = memory_of(device, &found);
    if (code == SUCCESS)
        *memory = (memory_t){found.total, found.free, found.used + found.reserved};
    return leave(code);
}

int nvmlDeviceGetTemperature(device_t device, unsigned sensor, unsigned *value)
{
    return small("nvmlDeviceGetTemperature", device, sensor == 0 ? "temperature" : "?", value);
}

int nvmlDeviceGetTemperatureV(device_t device, temperature_t *value)
{
    unsigned long long found = (unsigned)value->temperature;
    int code = value->version == 0x0100000c ? number("nvmlDeviceGetTemperatureV", device, value->sensor == 0 ? "temperature" : "?", &found) : 25;

    if (code == SUCCESS)
        value->temperature = (int)found;
    return code;
}

int nvmlDeviceGetPciInfo_v3(device_t device, pci_t *pci)
{
    int code = begin("nvmlDeviceGetPciInfo_v3", device);

    if (code == SUCCESS)
        snprintf(pci->busId, sizeof pci->busId, "%s", machine_text(gpu_of(device), "gpu", 0));
    return leave(code);
}

#define SMALL(function, key) int function(device_t device, unsigned *value) { return small(#function, device, key, value); }
SMALL(nvmlDeviceGetFanSpeed, "fan")
SMALL(nvmlDeviceGetPowerUsage, "power_mw")
SMALL(nvmlDeviceGetEnforcedPowerLimit, "enforced_limit_mw")
SMALL(nvmlDeviceGetPowerManagementLimit, "management_limit_mw")

int nvmlDeviceGetPowerManagementLimitConstraints(device_t device, unsigned *lowest, unsigned *highest)
{
    int code = small("nvmlDeviceGetPowerManagementLimitConstraints", device, "limit_max_mw", highest);

    if (code == SUCCESS)
        *lowest = 0;
    return code;
}

SMALL(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_link_gen")
SMALL(nvmlDeviceGetCurrPcieLinkWidth, "pcie_link_width")

int nvmlDeviceGetCurrentClocksEventReasons(device_t device, unsigned long long *mask)
{
    return number("nvmlDeviceGetCurrentClocksEventReasons", device, "throttle", mask);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(device_t device, unsigned long long *mask)
{
    return number("nvmlDeviceGetCurrentClocksThrottleReasons", device, "throttle", mask);
}

int nvmlDeviceGetClockInfo(device_t device, unsigned type, unsigned *clock)
{
    return small("nvmlDeviceGetClockInfo", device, type == 1 ? "clock_sm" : type == 2 ? "clock_memory" : "?", clock);
}

int nvmlDeviceGetMaxClockInfo(device_t device, unsigned type, unsigned *clock)
{
    return small("nvmlDeviceGetMaxClockInfo", device, type == 1 ? "clock_sm_max" : "?", clock);
}

/* A counter of nanoseconds that grows by so many per cent of the time, as it passes for this machine. */
static struct machine_value slowed(device_t device, const char *key)
{
    struct machine_value share = machine_value(gpu_of(device), key);

    share.number = play_now() / 100 * share.number;
    return share;
}

int nvmlDeviceGetViolationStatus(device_t device, unsigned policy, violation_t *violation)
{
    int code = begin("nvmlDeviceGetViolationStatus", device);

    if (code == SUCCESS) {
        struct machine_value found = slowed(device, policy == 0 ? "violation_power" : policy == 1 ? "violation_thermal" : "?");

        code = found.code;
        if (code == SUCCESS)
            *violation = (violation_t){play_now() / 1000, found.number};
    }

    return leave(code);
}

int nvmlDeviceGetTotalEnergyConsumption(device_t device, unsigned long long *energy)
{
    return number("nvmlDeviceGetTotalEnergyConsumption", device, "energy_mj", energy);
}

int nvmlDeviceGetEncoderUtilization(device_t device, unsigned *utilization, unsigned *period)
{
    *period = 167000;
    return small("nvmlDeviceGetEncoderUtilization", device, "encoder", utilization);
}

int nvmlDeviceGetDecoderUtilization(device_t device, unsigned *utilization, unsigned *period)
{
    *period = 167000;
    return small("nvmlDeviceGetDecoderUtilization", device, "decoder", utilization);
}

static const char *field_key(unsigned field)
{
    switch (field) {
    case 38: return "nvlink_flit_errors";
    case 45: return "nvlink_data_errors";
    case 52: return "nvlink_replays";
    case 59: return "nvlink_recoveries";
    case 74: return "violation_power";
    case 75: return "violation_thermal";
    case 76: return "violation_sync_boost";
    case 77: return "violation_board_limit";
    case 78: return "violation_low_utilization";
    case 79: return "violation_reliability";
    case 82: return "memory_temperature";
    case 138: return "nvlink_tx_kib";
    case 139: return "nvlink_rx_kib";
    case 269: return "violation_sw_thermal";
    case 270: return "violation_hw_thermal";
    default: return "?";
    }
}

int nvmlDeviceGetFieldValues(device_t device, int count, field_t *fields)
{
    int code = begin("nvmlDeviceGetFieldValues", device);

    for (int i = 0; code == SUCCESS && !is_mute() && i < count; i++) {
        field_t *field = &fields[i];
        const char *key = field_key(field->fieldId);
        int violation = !strncmp(key, "violation_", 10);
        struct machine_value found = violation ? slowed(device, key) : machine_value(gpu_of(device), key);

        if (violation) {
            field->nvmlReturn = found.code;
            field->valueType = 3;
            field->value = found.number;
            continue;
        }

        /* The counters of single links are not scripted, only their sum. */
        field->nvmlReturn = (field->fieldId == 138 || field->fieldId == 139) && field->scopeId != ~0u ? NOT_SUPPORTED : found.code;
        field->valueType = field->fieldId == 82 ? 1 : 3;
        field->value = found.number;
        /* A union: what is above an unsigned int is not written. */
        if (field->fieldId == 82)
            field->value |= 0xdeadbeef00000000ull;
    }

    return leave(code);
}

int nvmlDeviceGetMigMode(device_t device, unsigned *current, unsigned *pending)
{
    int code = small("nvmlDeviceGetMigMode", device, "mig_mode", current);

    if (code == SUCCESS)
        *pending = *current;
    return code;
}

int nvmlDeviceGetMaxMigDeviceCount(device_t device, unsigned *count)
{
    int code = begin("nvmlDeviceGetMaxMigDeviceCount", device);

    if (code == SUCCESS)
        *count = (unsigned)machine_number(gpu_of(device), "nvml_mig_most", machine_value(gpu_of(device), "mig_mode").code ? 0 : 7);
    return leave(code);
}

int nvmlDeviceGetMigDeviceHandleByIndex(device_t device, unsigned index, device_t *mig)
{
    int code = begin("nvmlDeviceGetMigDeviceHandleByIndex", device);

    if (code == SUCCESS && (index >= 7 || !machine_text(gpu_of(device), "mig", (int)index)))
        code = NOT_FOUND;
    /* The opening in which it was destroyed goes on giving its handle. */
    if (code == SUCCESS && opened > 1 && machine_number(gpu_of(device), "nvml_mig_gone", 0) == index + 1)
        code = NOT_FOUND;
    if (code == SUCCESS)
        *mig = handle_of(index_of(device), (int)index + 1);
    return leave(code);
}

static int instance_of(const char *name, device_t device, int field, unsigned *id)
{
    struct machine_value fields[4];
    int code = begin(name, device);

    if (code == SUCCESS && !mig_of(device))
        code = NOT_SUPPORTED;
    if (code == SUCCESS && !mig_fields(device, fields))
        code = INVALID_ARGUMENT;
    if (code == SUCCESS && !(code = fields[field].code))
        *id = (unsigned)fields[field].number;
    return leave(code);
}

int nvmlDeviceGetGpuInstanceId(device_t device, unsigned *id) { return instance_of("nvmlDeviceGetGpuInstanceId", device, 0, id); }
int nvmlDeviceGetComputeInstanceId(device_t device, unsigned *id) { return instance_of("nvmlDeviceGetComputeInstanceId", device, 1, id); }

int nvmlDeviceGetTotalEccErrors(device_t device, unsigned type, unsigned counter, unsigned long long *count)
{
    static const char *const keys[2][2] = {{"ecc_volatile_corrected", "ecc_corrected"}, {"ecc_volatile_uncorrected", "ecc_uncorrected"}};

    return number("nvmlDeviceGetTotalEccErrors", device, type > 1 || counter > 1 ? "?" : keys[type][counter], count);
}

int nvmlDeviceGetRemappedRows(device_t device, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed)
{
    int code = small("nvmlDeviceGetRemappedRows", device, "remapped_pending", pending);

    if (code == SUCCESS && !is_mute()) {
        *corrected = (unsigned)machine_number(gpu_of(device), "remapped_correctable", 0);
        *uncorrected = (unsigned)machine_number(gpu_of(device), "remapped_uncorrectable", 0);
        *failed = (unsigned)machine_number(gpu_of(device), "remapped_failure", 0);
    }

    return code;
}

int nvmlDeviceGetPcieReplayCounter(device_t device, unsigned *count)
{
    return small("nvmlDeviceGetPcieReplayCounter", device, "pcie_replays", count);
}

int nvmlDeviceGetPcieThroughput(device_t device, unsigned counter, unsigned *value)
{
    pthread_mutex_lock(&gate);
    load();
    unsigned length = (unsigned)machine_number(&machine.all, "nvml_pcie_ms", 20);
    pthread_mutex_unlock(&gate);
    nap(length);
    return small("nvmlDeviceGetPcieThroughput", device, counter == 0 ? "pcie_tx_kib" : counter == 1 ? "pcie_rx_kib" : "?", value);
}

static int running(const char *name, device_t device, unsigned *count, unsigned char *entries, unsigned size)
{
    const char *one = strstr(name, "MPS") ? "mps_process" : strstr(name, "Graphics") ? "graphics_process" : "process";
    char all[32];
    unsigned room = *count;
    int code = begin(name, device);

    snprintf(all, sizeof all, "%ses", one);
    if (code == SUCCESS && !mig_of(device) && machine_text(gpu_of(device), all, 0))
        code = machine_value(gpu_of(device), all).code;

    if (code == SUCCESS) {
        const char *text;

        size = size == 16 ? size : (unsigned)machine_number(&machine.all, "nvml_process_bytes", size);

        char key[32];

        snprintf(key, sizeof key, "%s", one);
        if (mig_of(device))
            snprintf(key, sizeof key, *one == 'p' ? "mig_process_%d" : "?", mig_of(device) - 1);

        for (*count = 0; (text = machine_text(gpu_of(device), key, (int)*count)); ++*count) {
            unsigned pid = (unsigned)machine_word(&text).number;
            struct machine_value memory = machine_word(&text);
            struct { process_t process; unsigned long long protectedMemory; } entry = {
                {pid, memory.code ? ~0ull : memory.number, ~0u, ~0u}, 0};

            if (*count < room)
                memcpy(entries + *count * size, &entry, size);
        }

        if (*count > room)
            code = INSUFFICIENT_SIZE;
    }

    return leave(code);
}

#define RUNNING(function, size) int function(device_t device, unsigned *count, unsigned char *entries) { return running(#function, device, count, entries, size); }
RUNNING(nvmlDeviceGetComputeRunningProcesses, 16)
RUNNING(nvmlDeviceGetComputeRunningProcesses_v2, 24)
RUNNING(nvmlDeviceGetComputeRunningProcesses_v3, 24)
RUNNING(nvmlDeviceGetMPSComputeRunningProcesses, 16)
RUNNING(nvmlDeviceGetMPSComputeRunningProcesses_v2, 24)
RUNNING(nvmlDeviceGetMPSComputeRunningProcesses_v3, 24)
RUNNING(nvmlDeviceGetGraphicsRunningProcesses, 16)
RUNNING(nvmlDeviceGetGraphicsRunningProcesses_v2, 24)
RUNNING(nvmlDeviceGetGraphicsRunningProcesses_v3, 24)

/* Microseconds since 1970, less what the clock was set back by. */
static unsigned long long stamp(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000 - machine_number(&machine.all, "nvml_clock_back_s", 0) * 1000000;
}

static void put_sample(process_sample_t *samples, unsigned room, unsigned *count, process_sample_t sample)
{
    if (*count < room)
        samples[*count] = sample;
    ++*count;
}

/* Every call finds new samples of those that work, but not before the time that the caller has seen. */
int nvmlDeviceGetProcessUtilization(device_t device, process_sample_t *samples, unsigned *count, unsigned long long since)
{
    unsigned room = samples ? *count : 0, found = 0;
    int code = begin("nvmlDeviceGetProcessUtilization", device);

    if (code == SUCCESS && (mig_of(device) || !machine_text(gpu_of(device), "process_utilization", 0)))
        code = NOT_SUPPORTED;

    if (code == SUCCESS) {
        const struct play_file *file = play_open(gpu_of(device));
        unsigned long long now = stamp();
        const char *text;

        for (int s = 0; file && s < PLAY_SLOTS; s++)
            if (play_is_there(&file->slots[s]) && now > since) {
                unsigned share = (play_busy(&file->slots[s], 1000) + 5) / 10;

                if (share)
                    put_sample(samples, room, &found, (process_sample_t){file->slots[s].pid, now, share, 0, 0, 0});
            }

        for (int i = 0; !file && (text = machine_text(gpu_of(device), "process_utilization", i)); i++) {
            struct machine_value pid = machine_word(&text);
            struct machine_value share = machine_word(&text);

            if (pid.code)
                code = pid.code;
            else if (*text)
                put_sample(samples, room, &found, (process_sample_t){(unsigned)pid.number, machine_word(&text).number, (unsigned)share.number, 0, 0, 0});
            else if (pid.number && now > since)
                put_sample(samples, room, &found, (process_sample_t){(unsigned)pid.number, now, (unsigned)share.number, 1, 2, 3});
        }

        if (code == SUCCESS)
            code = !found ? NOT_FOUND : found > room ? INSUFFICIENT_SIZE : SUCCESS;
        *count = found;
    }

    return leave(code);
}

/* What a sample keeps: of which GPU and GPU instance it is, and when it was taken. */
struct gpm_sample { device_t device; long instance; uint64_t at; };

int nvmlGpmQueryDeviceSupport(device_t device, gpm_support_t *support)
{
    int code = begin("nvmlGpmQueryDeviceSupport", device);

    if (code == SUCCESS)
        code = support->version == 1 ? SUCCESS : 25;
    if (code == SUCCESS && machine_text(gpu_of(device), "gpm", 0))
        code = machine_value(gpu_of(device), "gpm").code;
    if (code == SUCCESS)
        support->isSupportedDevice = (unsigned)machine_number(gpu_of(device), "gpm", machine_text(gpu_of(device), "gpm_sm", 0) != NULL);
    return leave(code);
}

int nvmlGpmSampleAlloc(struct gpm_sample **sample)
{
    enter("nvmlGpmSampleAlloc", -1);
    *sample = calloc(1, sizeof **sample);
    return leave(SUCCESS);
}

int nvmlGpmSampleFree(struct gpm_sample *sample)
{
    enter("nvmlGpmSampleFree", -1);
    free(sample);
    return leave(sample ? SUCCESS : INVALID_ARGUMENT);
}

static int sample_of(const char *name, device_t device, long instance, struct gpm_sample *sample)
{
    int code = begin(name, device);

    if (code == SUCCESS)
        code = (int)machine_number(gpu_of(device), "nvml_no_gpm_sample", 0);
    /* A board that is divided has no sample of its own, and one that is not has no instances. */
    if (code == SUCCESS && (instance < 0) == (machine_number(gpu_of(device), "mig_mode", 0) != 0))
        code = NOT_SUPPORTED;
    if (code == SUCCESS)
        *sample = (struct gpm_sample){device, instance, play_now()};
    return leave(code);
}

int nvmlGpmSampleGet(device_t device, struct gpm_sample *sample) { return sample_of("nvmlGpmSampleGet", device, -1, sample); }

int nvmlGpmMigSampleGet(device_t device, unsigned instance, struct gpm_sample *sample)
{
    return sample_of("nvmlGpmMigSampleGet", device, instance, sample);
}

static const char *gpm_key(unsigned metric)
{
    switch (metric) {
    case 1: return "gpm_graphics";
    case 2: return "gpm_sm";
    case 3: return "gpm_occupancy";
    case 5: return "gpm_tensor";
    case 10: return "gpm_dram";
    case 20: return "gpm_pcie_tx_mib";
    case 21: return "gpm_pcie_rx_mib";
    case 60: return "gpm_nvlink_rx_mib";
    case 61: return "gpm_nvlink_tx_mib";
    default: return "?";
    }
}

int nvmlGpmMetricsGet(gpm_get_t *get)
{
    int code;

    enter("nvmlGpmMetricsGet", get->sample1 && get->sample1->device ? index_of(get->sample1->device) : -1);
    code = get->version != 1 ? 25
        : !get->sample1 || !get->sample2 || !get->sample1->device || get->sample1->device != get->sample2->device
            || get->sample1->instance != get->sample2->instance || get->sample1->at >= get->sample2->at ? INVALID_ARGUMENT
        : SUCCESS;

    if (code == SUCCESS) {
        play_gpm_ms = (unsigned)((get->sample2->at - get->sample1->at) / 1000000);
        play_gpm_ms += !play_gpm_ms;
    }

    for (unsigned i = 0; code == SUCCESS && i < get->numMetrics; i++) {
        gpm_metric_t *metric = &get->metrics[i];
        char key[64];
        struct machine_value found;

        /* Of an instance: gpm_sm_9 for GPU instance 9. */
        snprintf(key, sizeof key, get->sample1->instance < 0 ? "%s" : "%s_%ld", gpm_key(metric->metricId), get->sample1->instance);
        found = machine_value(gpu_of(get->sample1->device), key);
        metric->nvmlReturn = found.code;
        metric->value = (double)found.number;
    }

    return leave(code);
}

int nvmlEventSetCreate(struct event_set **set)
{
    int code;

    enter("nvmlEventSetCreate", -1);
    code = is_ready() ? SUCCESS : UNINITIALIZED;
    if (code == SUCCESS)
        *set = calloc(1, sizeof **set);
    return leave(code);
}

int nvmlEventSetFree(struct event_set *set)
{
    enter("nvmlEventSetFree", -1);
    free(set);
    return leave(SUCCESS);
}

int nvmlDeviceRegisterEvents(device_t device, unsigned long long types, struct event_set *set)
{
    int code = begin("nvmlDeviceRegisterEvents", device);

    if (code == SUCCESS)
        code = set->is_broken ? UNINITIALIZED : types == 8 ? (int)machine_number(gpu_of(device), "nvml_no_events", 0) : NOT_SUPPORTED;
    if (code == SUCCESS)
        set->devices[set->count++] = device;
    set->is_broken |= code == 999;
    return leave(code);
}

static int wait_for_event(const char *name, struct event_set *set, event_t *event, unsigned limit)
{
    unsigned long long end = milliseconds() + limit;
    unsigned pause;
    int code;

    enter(name, -1);
    leave(SUCCESS);

    for (;;) {
        pthread_mutex_lock(&gate);
        load();
        const char *asked = machine_text(&machine.all, "nvml_event_poll_ms", 0);
        pause = asked ? (unsigned)machine_word(&asked).number : 20;
        code = is_ready() && !set->is_broken ? (int)machine_number(&machine.all, "nvml_event_code", TIMED_OUT) : UNINITIALIZED;

        for (int i = 0; code == TIMED_OUT && i < set->count; i++) {
            int index = index_of(set->devices[i]);
            const char *text = index < machine.gpu_count ? machine_text(&machine.gpus[index], "xid", delivered[index]) : NULL;

            if (text) {
                delivered[index]++;
                event->device = set->devices[i];
                event->eventType = 8;
                event->eventData = machine_word(&text).number;
                event->gpuInstanceId = *text ? (unsigned)machine_word(&text).number : ~0u;
                event->computeInstanceId = *text ? (unsigned)machine_word(&text).number : ~0u;
                code = SUCCESS;
            }
        }

        pthread_mutex_unlock(&gate);

        if (code != TIMED_OUT || milliseconds() >= end || machine_number(&machine.all, "nvml_event_hasty", 0) == 1)
            return code;
        nap(limit < pause ? limit : pause);
    }
}

int nvmlEventSetWait(struct event_set *set, event_t *event, unsigned limit) { return wait_for_event("nvmlEventSetWait", set, event, limit); }
int nvmlEventSetWait_v2(struct event_set *set, event_t *event, unsigned limit) { return wait_for_event("nvmlEventSetWait_v2", set, event, limit); }
