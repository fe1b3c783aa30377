using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <summary>Who uses a GPU, as far as its readings differ by that.</summary>
/// <param name="Whole">It is not divided, and somebody uses it: a process is listed, or it was at work.</param>
/// <param name="Instances">The MIG instances that somebody uses: the GPU instance of each, and its UUID.</param>
internal sealed record BoardUsers(bool Whole, BoardUsers.Instance[] Instances)
{
    /// <summary>Nobody.</summary>
    public static readonly BoardUsers None = new(false, []);

    /// <summary>True when there is somebody.</summary>
    public bool Any => Whole || Instances.Length > 0;

    /// <summary>A MIG instance.</summary>
    internal sealed record Instance(int GpuInstance, string Uuid);
}

/// <summary>
/// What jobs do on one GPU in one opening of the library: GPM, violation times and the utilisation of processes, each from one reading to the
/// next. What the driver does not have is asked for once. Used by one thread at a time.
/// </summary>
/// <param name="calls">The library.</param>
/// <param name="device">The GPU's handle.</param>
/// <param name="index">Its place in the library's order.</param>
/// <param name="uuid">Its UUID; empty when unknown.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class BoardWork(NvmlWorkCalls calls, nint device, int index, string uuid, AgentClock clock)
{
    private const int NotSupported = 3;
    private const int NotFound = 6;

    /// <summary>
    /// After so many readings without a process that worked, all that the driver remembers is asked for: were the machine's clock set back,
    /// new time stamps would be older than the newest for long.
    /// </summary>
    private const int LongestSilence = 15;

    private readonly GpmSamples whole = new(calls);
    private readonly Dictionary<int, GpmSamples> parts = [];
    private Nvml.Field[] violations = [];
    private TimeSpan violationsAt;
    private bool hasFields = true;
    private bool hasStatus = true;
    private bool hasShares = true;

    // What nvmlDeviceGetProcessUtilization told last, whether that is known yet, and whether it ever told of a process here.
    private ulong seen;
    private bool isSeen;
    private bool hasToldShares;
    private int silence;

    /// <summary>What happened since the reading before.</summary>
    /// <param name="users">Who uses it now.</param>
    public NvmlWork.Calls Read(BoardUsers users)
    {
        foreach (var (instance, part) in parts.ToArray())
        {
            if (!Array.Exists(users.Instances, used => used.GpuInstance == instance))
            {
                part.Free();
                parts.Remove(instance);
            }
        }

        if (!users.Whole)
        {
            whole.Free();
        }

        var gpm = users.Whole ? whole.Read(device, null, clock.Elapsed) : [];
        var instances = new ValueTuple<string, Nvml.Call<double>[]>[users.Instances.Length];

        for (var i = 0; i < instances.Length; i++)
        {
            var used = users.Instances[i];
            var part = parts.TryGetValue(used.GpuInstance, out var known) ? known : parts[used.GpuInstance] = new(calls);
            instances[i] = (used.Uuid, part.Read(device, used.GpuInstance, clock.Elapsed));
        }

        var (before, beforeAt) = (violations, violationsAt);
        violationsAt = clock.Elapsed;
        violations = Violations();

        return new(
            board: index,
            boardUuid: uuid,
            gpm: gpm,
            instanceGpm: instances,
            length: violationsAt - beforeAt,
            violationsBefore: before,
            violations: violations,
            shares: users.Whole && hasShares ? Shares() : new(NotSupported, []));
    }

    /// <summary>Gives back what it holds; the next reading begins anew.</summary>
    public void Free()
    {
        whole.Free();

        foreach (var part in parts.Values)
        {
            part.Free();
        }

        parts.Clear();
        violations = [];
        (seen, isSeen, silence) = (0, false, 0);
    }

    // Newer drivers have fields, older ones a call of its own, which newer ones drop.
    private Nvml.Field[] Violations()
    {
        if (hasFields)
        {
            var fields = calls.ViolationFields(device);
            hasFields = !AreRefused(fields);

            if (hasFields)
            {
                return fields;
            }
        }

        if (!hasStatus)
        {
            return [];
        }

        Nvml.Field[] status = [calls.ViolationStatus(device, 0), calls.ViolationStatus(device, 1)];
        hasStatus = !AreRefused(status);
        return hasStatus ? status : [];
    }

    // NOT_FOUND says that no process did anything, or that the driver cannot tell of any here, as under some hypervisors: it counts as the
    // first only once this GPU's driver has told of a process.
    private Nvml.Call<ProcessShare[]> Shares()
    {
        var code = calls.ProcessShares(device, seen, out var newest, out var shares);

        if (code is not (0 or NotFound))
        {
            hasShares = !GpmSamples.IsRefusal(code);
            return new(code, []);
        }

        // The first answer goes back as far as the driver remembers, and only says from when on to ask.
        var isOfNow = isSeen;
        (seen, isSeen) = (newest, true);

        if (shares.Length > 0)
        {
            (silence, hasToldShares) = (0, true);
        }
        else if (++silence >= LongestSilence)
        {
            (seen, isSeen, silence) = (0, false, 0);
        }

        return new(isOfNow && hasToldShares ? 0 : NotSupported, shares);
    }

    private static bool AreRefused(Nvml.Field[] fields)
    {
        foreach (var field in fields)
        {
            if (!GpmSamples.IsRefusal(field.Return))
            {
                return false;
            }
        }

        return true;
    }
}
