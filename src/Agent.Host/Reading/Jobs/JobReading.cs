using Agent.Core;
using Agent.Core.Gpu;

namespace Agent.Host.Reading.Jobs;

/// <summary>What the reader of jobs gets from other sources.</summary>
/// <param name="Gpus">The newest reading; null while there is none.</param>
/// <param name="DriverProblem">Why no GPU can be read; empty while all is well.</param>
/// <param name="Devices">What the machine's devices are.</param>
internal sealed record JobInputs(GpuReading? Gpus, string DriverProblem, Devices.Known Devices)
{
    /// <summary>What those in use did, as far as their driver tells.</summary>
    public GpuWork[] Work { get; init; } = [];
}

/// <summary>How much of processes can be read. Null for what was not needed yet.</summary>
/// <param name="Io">/proc/PID/io, of other users' processes with CAP_SYS_PTRACE only.</param>
/// <param name="Environment">/proc/PID/environ, likewise.</param>
/// <param name="Schedule">/proc/PID/schedstat, where the kernel has it.</param>
/// <param name="Children">/proc/PID/task/TID/children, where the kernel has it.</param>
/// <param name="Cgroups">The versions of control groups that are mounted: "1", "2", "1 and 2" or empty.</param>
internal sealed record JobAccess(bool? Io, bool? Environment, bool? Schedule, bool? Children, string Cgroups)
{
    /// <summary>Nothing was needed yet.</summary>
    public static readonly JobAccess Unknown = new(null, null, null, null, "");
}

/// <summary>What was left out, because there is a bound to what is read.</summary>
/// <param name="Jobs">Jobs beyond the first 64.</param>
/// <param name="Processes">Processes beyond 512.</param>
/// <param name="Threads">Threads beyond the first thousand of a process.</param>
/// <param name="Unseen">Processes that hold GPUs and are not in this /proc: of another PID namespace, or hidden from this user.</param>
internal readonly record struct LeftOut(int Jobs, int Processes, int Threads, int Unseen);

/// <summary>What the reading costs, in CPU time of its thread, and how often it is done.</summary>
/// <param name="Look">One look at all counters.</param>
/// <param name="LookPeriod">From one to the next.</param>
/// <param name="State">One look at the states of threads.</param>
/// <param name="StatePeriod">From one to the next.</param>
/// <param name="Search">One search for processes.</param>
/// <param name="SearchPeriod">From one to the next; half of it where processes come and go.</param>
/// <param name="Scan">One look through all threads for those worth watching.</param>
/// <param name="ScanPeriod">From one to the next.</param>
internal readonly record struct JobCost(
    TimeSpan Look,
    TimeSpan LookPeriod,
    TimeSpan State,
    TimeSpan StatePeriod,
    TimeSpan Search,
    TimeSpan SearchPeriod,
    TimeSpan Scan,
    TimeSpan ScanPeriod)
{
    /// <summary>CPU time in each second, as a share of one CPU.</summary>
    public double Share => Of(Look, LookPeriod) + Of(State, StatePeriod) + Of(Search, SearchPeriod) + Of(Scan, ScanPeriod);

    private static double Of(TimeSpan cost, TimeSpan period) => period > TimeSpan.Zero ? cost / period : 0;
}

/// <summary>The newest of everything.</summary>
/// <param name="Evidence">What the newest interval showed; null before the second look, and while there is nothing to look at.</param>
/// <param name="Faults">What could not be read.</param>
/// <param name="Access">How much can be read.</param>
/// <param name="LeftOut">What was left out.</param>
/// <param name="Cost">What it costs.</param>
/// <param name="Report">The jobs and what holds each of them back; null without evidence.</param>
internal sealed record JobReading(
    Evidence? Evidence, SourceError[] Faults, JobAccess Access, LeftOut LeftOut, JobCost Cost, JobReport? Report = null)
{
    /// <summary>A machine whose GPUs nobody uses.</summary>
    public static readonly JobReading None = new(null, [], JobAccess.Unknown, default, default);
}
