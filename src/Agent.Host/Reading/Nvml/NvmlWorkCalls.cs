using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <summary>
/// The functions of libnvidia-ml that tell what jobs do on a GPU. They are looked up when somebody wants to know it, and called by one thread.
/// A function that this version of the library lacks answers FUNCTION_NOT_FOUND.
/// </summary>
internal sealed unsafe class NvmlWorkCalls
{
    private const int Success = 0;
    private const int InsufficientSize = 7;
    private const int FunctionNotFound = 13;

    /// <summary>More samples than any GPU has processes; a library that wants room for more is broken.</summary>
    private const uint MostSamples = 4096;

    private readonly NvmlLibrary all;
    private readonly delegate* unmanaged<nint, NvmlGpmSupport*, int> gpmSupport;
    private readonly delegate* unmanaged<nint*, int> gpmAlloc;
    private readonly delegate* unmanaged<nint, int> gpmFree;
    private readonly delegate* unmanaged<nint, nint, int> gpmSample;
    private readonly delegate* unmanaged<nint, uint, nint, int> gpmMigSample;
    private readonly delegate* unmanaged<NvmlGpmMetricsGet*, int> gpmMetrics;
    private readonly delegate* unmanaged<nint, byte*, uint*, ulong, int> processUtilization;
    private readonly delegate* unmanaged<nint, uint, NvmlViolationTime*, int> violationStatus;

    // As long as the newest nvml.h has it, so that a library that clears all of it stays inside. In words of eight bytes, which it is aligned to.
    private readonly ulong[] metricsGet = new ulong[NvmlGpmMetricsGet.Bytes / sizeof(ulong)];
    private byte[] samples = new byte[64 * NvmlWork.ProcessSampleBytes];

    /// <summary>Looks the functions up.</summary>
    /// <param name="all">The library's other functions.</param>
    /// <param name="library">What the dynamic linker gave.</param>
    public NvmlWorkCalls(NvmlLibrary all, nint library)
    {
        this.all = all;
        gpmSupport = (delegate* unmanaged<nint, NvmlGpmSupport*, int>)NvmlLibrary.Find(library, "nvmlGpmQueryDeviceSupport");
        gpmAlloc = (delegate* unmanaged<nint*, int>)NvmlLibrary.Find(library, "nvmlGpmSampleAlloc");
        gpmFree = (delegate* unmanaged<nint, int>)NvmlLibrary.Find(library, "nvmlGpmSampleFree");
        gpmSample = (delegate* unmanaged<nint, nint, int>)NvmlLibrary.Find(library, "nvmlGpmSampleGet");
        gpmMigSample = (delegate* unmanaged<nint, uint, nint, int>)NvmlLibrary.Find(library, "nvmlGpmMigSampleGet");
        gpmMetrics = (delegate* unmanaged<NvmlGpmMetricsGet*, int>)NvmlLibrary.Find(library, "nvmlGpmMetricsGet");
        processUtilization = (delegate* unmanaged<nint, byte*, uint*, ulong, int>)NvmlLibrary.Find(library, "nvmlDeviceGetProcessUtilization");
        violationStatus = (delegate* unmanaged<nint, uint, NvmlViolationTime*, int>)NvmlLibrary.Find(library, "nvmlDeviceGetViolationStatus");
    }

    /// <summary>nvmlGpmQueryDeviceSupport: whether GPM can be read of a device.</summary>
    public Nvml.Call<uint> GpmSupport(nint device)
    {
        NvmlGpmSupport value = new() { Version = NvmlGpmSupport.Version1 };

        // Without the means to give a sample back none is asked for.
        var code = gpmSupport is null || gpmFree is null ? FunctionNotFound : gpmSupport(device, &value);
        return new(code, value.IsSupportedDevice);
    }

    /// <summary>nvmlGpmSampleAlloc: room for one sample.</summary>
    public Nvml.Call<nint> GpmAlloc()
    {
        nint value = 0;
        return new(gpmAlloc is null ? FunctionNotFound : gpmAlloc(&value), value);
    }

    /// <summary>nvmlGpmSampleFree.</summary>
    public void GpmFree(nint sample)
    {
        if (gpmFree is not null)
        {
            gpmFree(sample);
        }
    }

    /// <summary>nvmlGpmSampleGet of a device, or nvmlGpmMigSampleGet of one of its GPU instances.</summary>
    public int GpmSample(nint device, int? gpuInstance, nint sample) =>
        gpuInstance is { } instance
            ? gpmMigSample is null ? FunctionNotFound : gpmMigSample(device, (uint)instance, sample)
            : gpmSample is null ? FunctionNotFound : gpmSample(device, sample);

    /// <summary>nvmlGpmMetricsGet of <see cref="NvmlWork.Metrics"/>, in their order.</summary>
    public Nvml.Call<double>[] GpmMetrics(nint older, nint newer)
    {
        var wanted = NvmlWork.Metrics;
        var found = new Nvml.Call<double>[wanted.Length];

        fixed (ulong* room = metricsGet)
        {
            var get = (NvmlGpmMetricsGet*)room;
            var metrics = (NvmlGpmMetric*)(get + 1);
            *get = new() { Version = NvmlGpmMetricsGet.Version1, NumMetrics = (uint)wanted.Length, Sample1 = older, Sample2 = newer };

            for (var i = 0; i < wanted.Length; i++)
            {
                metrics[i] = new() { MetricId = wanted[i] };
            }

            var code = gpmMetrics is null ? FunctionNotFound : gpmMetrics(get);

            for (var i = 0; i < wanted.Length; i++)
            {
                found[i] = new(code == Success ? metrics[i].NvmlReturn : code, metrics[i].Value);
            }
        }

        return found;
    }

    /// <summary>nvmlDeviceGetFieldValues of <see cref="NvmlWork.ViolationFields"/>, in their order.</summary>
    public Nvml.Field[] ViolationFields(nint device) => all.Fields(device, NvmlWork.ViolationFields);

    /// <summary>nvmlDeviceGetViolationStatus of NVML_PERF_POLICY_POWER (0) or NVML_PERF_POLICY_THERMAL (1), as a field of unsigned nanoseconds.</summary>
    public Nvml.Field ViolationStatus(nint device, uint policy)
    {
        NvmlViolationTime value = default;
        return new(violationStatus is null ? FunctionNotFound : violationStatus(device, policy, &value), 3, value.ViolationTime);
    }

    /// <summary>nvmlDeviceGetProcessUtilization since a time stamp that it told before; 0 for all that the driver remembers.</summary>
    /// <param name="device">Whose processes.</param>
    /// <param name="since">Microseconds, by the driver.</param>
    /// <param name="newest">The newest time stamp; <paramref name="since"/> without any.</param>
    /// <param name="shares">What the processes did.</param>
    public int ProcessShares(nint device, ulong since, out ulong newest, out ProcessShare[] shares)
    {
        (newest, shares) = (since, []);

        while (processUtilization is not null)
        {
            var room = (uint)(samples.Length / NvmlWork.ProcessSampleBytes);
            var found = room;
            int code;

            fixed (byte* entries = samples)
            {
                code = processUtilization(device, entries, &found, since);
            }

            // There may be more again when it is asked again.
            if (code == InsufficientSize && found > room && found <= MostSamples)
            {
                samples = new byte[(found + 16) * NvmlWork.ProcessSampleBytes];
                continue;
            }

            if (code == Success)
            {
                (newest, shares) = NvmlWork.Shares(samples, (int)Math.Min(found, room), since);
            }

            return code;
        }

        return FunctionNotFound;
    }
}
