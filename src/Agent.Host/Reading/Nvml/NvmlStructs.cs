using System.Runtime.InteropServices;

namespace Agent.Host.Reading;

/// <summary>nvmlUtilization_t.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlUtilization
{
    /// <summary>Share of the last sample period in which a kernel ran, per cent.</summary>
    public uint Gpu;

    /// <summary>Share of it in which memory was read or written, per cent.</summary>
    public uint Memory;
}

/// <summary>nvmlMemory_t, bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlMemory
{
    /// <summary>All of it.</summary>
    public ulong Total;

    /// <summary>What is left.</summary>
    public ulong Free;

    /// <summary>The rest, with what the driver reserves.</summary>
    public ulong Used;
}

/// <summary>nvmlMemory_v2_t, bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlMemoryV2
{
    /// <summary>What the caller sets <see cref="Version"/> to: the size in bytes, and the number 2 above it.</summary>
    public const uint Version2 = 0x02000028;

    /// <summary>Which layout this is.</summary>
    public uint Version;

    /// <summary>All of it.</summary>
    public ulong Total;

    /// <summary>Kept by the driver.</summary>
    public ulong Reserved;

    /// <summary>What is left.</summary>
    public ulong Free;

    /// <summary>The rest.</summary>
    public ulong Used;
}

/// <summary>nvmlTemperature_t.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlTemperature
{
    /// <summary>What the caller sets <see cref="Version"/> to: the size in bytes, and the number 1 above it.</summary>
    public const uint Version1 = 0x0100000C;

    /// <summary>Which layout this is.</summary>
    public uint Version;

    /// <summary>nvmlTemperatureSensors_t; 0 is the die.</summary>
    public uint Sensor;

    /// <summary>Degrees Celsius.</summary>
    public int Temperature;
}

/// <summary>nvmlPciInfo_t, 68 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NvmlPciInfo
{
    /// <summary>NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE.</summary>
    public const int BusIdLength = 32;

    /// <summary>The bus id as it was before domains of 32 bits, and six numbers.</summary>
    public fixed byte Numbers[36];

    /// <summary>domain:bus:device.function, zero-terminated.</summary>
    public fixed byte BusId[BusIdLength];
}

/// <summary>nvmlEventData_t. Before _v2 of the wait the last two fields did not exist.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlEventData
{
    /// <summary>The handle of the device that it happened to.</summary>
    public nint Device;

    /// <summary>A single bit.</summary>
    public ulong EventType;

    /// <summary>The XID, for an event of that type.</summary>
    public ulong EventData;

    /// <summary>All ones without MIG.</summary>
    public uint GpuInstanceId;

    /// <summary>All ones without MIG.</summary>
    public uint ComputeInstanceId;
}

/// <summary>nvmlFieldValue_t.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlFieldValue
{
    /// <summary>What is asked for.</summary>
    public uint FieldId;

    /// <summary>Of which link, for instance.</summary>
    public uint ScopeId;

    /// <summary>Microseconds since 1970.</summary>
    public long Timestamp;

    /// <summary>How long it took, in microseconds.</summary>
    public long LatencyUsec;

    /// <summary>nvmlValueType_t.</summary>
    public uint ValueType;

    /// <summary>nvmlReturn_t of this field.</summary>
    public int NvmlReturn;

    /// <summary>A union of eight bytes.</summary>
    public ulong Value;
}

/// <summary>nvmlGpmSupport_t.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlGpmSupport
{
    /// <summary>NVML_GPM_SUPPORT_VERSION, a plain number.</summary>
    public const uint Version1 = 1;

    /// <summary>Which layout this is.</summary>
    public uint Version;

    /// <summary>1 where GPM can be read.</summary>
    public uint IsSupportedDevice;
}

/// <summary>nvmlGpmMetric_t.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlGpmMetric
{
    /// <summary>nvmlGpmMetricId_t: what is asked for.</summary>
    public uint MetricId;

    /// <summary>nvmlReturn_t of this metric.</summary>
    public int NvmlReturn;

    /// <summary>In the metric's unit.</summary>
    public double Value;

    /// <summary>The library's text, or null.</summary>
    public nint ShortName;

    /// <summary>Likewise.</summary>
    public nint LongName;

    /// <summary>Likewise.</summary>
    public nint Unit;
}

/// <summary>nvmlGpmMetricsGet_t without the metrics, which follow it.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlGpmMetricsGet
{
    /// <summary>NVML_GPM_METRICS_GET_VERSION, a plain number that stayed the same while the list of metrics grew.</summary>
    public const uint Version1 = 1;

    /// <summary>24 bytes, and 40 for each of 333 metrics: NVML_GPM_METRIC_MAX of CUDA 13, 98 in the first version.</summary>
    public const int Bytes = 24 + (40 * 333);

    /// <summary>Which layout this is.</summary>
    public uint Version;

    /// <summary>How many metrics follow.</summary>
    public uint NumMetrics;

    /// <summary>The older sample.</summary>
    public nint Sample1;

    /// <summary>The newer sample.</summary>
    public nint Sample2;
}

/// <summary>nvmlViolationTime_t.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NvmlViolationTime
{
    /// <summary>Microseconds.</summary>
    public ulong ReferenceTime;

    /// <summary>Nanoseconds.</summary>
    public ulong ViolationTime;
}
