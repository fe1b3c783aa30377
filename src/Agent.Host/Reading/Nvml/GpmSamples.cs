using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <summary>
/// GPM of one GPU or GPU instance: the sample before is kept, and metrics are what happened from it to the newest. A device that does not
/// support it, or whose driver refuses it, is not asked again. Used by one thread at a time.
/// </summary>
/// <param name="calls">The library.</param>
internal sealed class GpmSamples(NvmlWorkCalls calls)
{
    private const int NoPermission = 4;

    /// <summary>The driver's own counters are no fresher than that.</summary>
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(100);

    /// <summary>A mean over more than that is not of the present.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    private nint older;
    private nint newer;
    private TimeSpan? takenAt;
    private bool isAsked;
    private bool isRefused;
    private Nvml.Call<double>[] told = [];

    /// <summary>Takes a sample; the metrics since the sample before, or none without one.</summary>
    /// <param name="device">The GPU.</param>
    /// <param name="gpuInstance">A GPU instance of it; null for all of it.</param>
    /// <param name="now">By the monotonic clock.</param>
    public Nvml.Call<double>[] Read(nint device, int? gpuInstance, TimeSpan now)
    {
        if (now - takenAt < Shortest)
        {
            return told;
        }

        if (!isAsked)
        {
            isAsked = true;
            isRefused = calls.GpmSupport(device) is not { Code: 0, Value: not 0 };
        }

        if (isRefused || !HasRoom())
        {
            return told = [];
        }

        var code = calls.GpmSample(device, gpuInstance, newer);

        if (code != 0)
        {
            return Failed(code);
        }

        var metrics = takenAt is { } before && now - before <= Longest ? calls.GpmMetrics(older, newer) : [];
        (older, newer, takenAt) = (newer, older, now);

        // Of all metrics alike: what the call as a whole returned.
        if (metrics.Length > 0 && AreRefused(metrics))
        {
            return Failed(metrics[0].Code);
        }

        return told = metrics;
    }

    /// <summary>Gives the samples back; the next reading begins anew.</summary>
    public void Free()
    {
        foreach (var sample in (ReadOnlySpan<nint>)[older, newer])
        {
            if (sample != 0)
            {
                calls.GpmFree(sample);
            }
        }

        (older, newer, takenAt, told) = (0, 0, null, []);
    }

    private bool HasRoom()
    {
        older = older != 0 ? older : calls.GpmAlloc() is { Code: 0, Value: var first } ? first : 0;
        newer = newer != 0 ? newer : calls.GpmAlloc() is { Code: 0, Value: var second } ? second : 0;
        return older != 0 && newer != 0;
    }

    private Nvml.Call<double>[] Failed(int code)
    {
        Free();
        isRefused = IsRefusal(code);
        return told = [new(code, 0)];
    }

    private static bool AreRefused(Nvml.Call<double>[] metrics)
    {
        foreach (var metric in metrics)
        {
            if (!IsRefusal(metric.Code))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>True for a code by which the driver says that it never will.</summary>
    internal static bool IsRefusal(int code) => code == NoPermission || Nvml.IsAbsence(code);
}
