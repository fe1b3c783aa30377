using System.Runtime.CompilerServices;
using Agent.Receiver;

namespace Agent.Dashboard.Store;

/// <summary>What one server may still send, and the devices that are known of it. Safe for several threads.</summary>
internal sealed class Quota(ServerLimits limits, AgentClock clock)
{
    /// <summary>So many samples of a server are dealt with at a time: each is in memory until it is on disk.</summary>
    private const int MostAtOnce = 64;

    private static readonly TimeSpan Moment = TimeSpan.FromSeconds(1);

    private readonly Lock gate = new();
    private readonly KnownDevices devices = new(limits.Devices);
    private Allowance allowance = AllowanceModule.Full(limits, clock.Elapsed);
    private int atOnce;
    private Bucket layouts = BucketModule.Full(limits.Layouts, clock.Elapsed);
    private Bucket jobs = BucketModule.Full(limits.Jobs, clock.Elapsed);
    private Bucket events = BucketModule.Full(limits.Events, clock.Elapsed);

    /// <summary>Asks for one sample more: zero, and it is counted until <see cref="Leave"/>; or how long to wait with it.</summary>
    public TimeSpan Admit()
    {
        lock (gate)
        {
            if (atOnce >= MostAtOnce)
            {
                return Moment;
            }

            (allowance, var wait) = AllowanceModule.Admit(limits, clock.Elapsed, allowance);
            atOnce += wait > TimeSpan.Zero ? 0 : 1;
            return wait;
        }
    }

    /// <summary>A sample that was admitted is done with.</summary>
    public void Leave()
    {
        lock (gate)
        {
            atOnce--;
        }
    }

    /// <summary>Charges the bytes of a body that was read.</summary>
    public void Charge(int bytes)
    {
        lock (gate)
        {
            allowance = AllowanceModule.Charge(bytes, allowance);
        }
    }

    /// <summary>The report with those of its devices that are known or for which there is room, and how many were left out.</summary>
    public (Report Report, int LeftOut) Keep(Report report)
    {
        lock (gate)
        {
            var (kept, leftOut) = devices.Admit(report, clock.Elapsed);
            return (kept, leftOut);
        }
    }

    /// <summary>Whether a combination of devices may be added to the database; it is counted if so.</summary>
    public bool TakesLayout() => Takes(limits.Layouts, ref layouts);

    /// <summary>Whether a job may be added to the database; it is counted if so.</summary>
    public bool TakesJob() => Takes(limits.Jobs, ref jobs);

    /// <summary>Whether something that happened may be added to the database; it is counted if so.</summary>
    public bool TakesEvent() => Takes(limits.Events, ref events);

    private bool Takes(BucketSize size, ref Bucket bucket)
    {
        lock (gate)
        {
            bucket = BucketModule.Refilled(size, clock.Elapsed, bucket);

            if (BucketModule.WaitFor(size, bucket) > TimeSpan.Zero)
            {
                return false;
            }

            bucket = BucketModule.Less(1, bucket);
            return true;
        }
    }
}

/// <summary>The quota of each server, for as long as it is registered.</summary>
internal sealed class Quotas(ServerLimits limits, AgentClock clock)
{
    private readonly ConditionalWeakTable<LiveServer, Quota> byServer = [];

    /// <summary>The quota of a server.</summary>
    public Quota Of(LiveServer server) => byServer.GetValue(server, _ => new Quota(limits, clock));
}
