namespace Agent.Dashboard.Store;

/// <summary>What the writer did so far. Written by its thread, read by others.</summary>
internal sealed class WriterFigures
{
    /// <summary>The upper bounds of the commits' durations, in seconds.</summary>
    public static readonly double[] Bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

    private readonly long[] commits = new long[Bounds.Length + 1];
    private long samples;
    private long failed;
    private double seconds;

    /// <summary>Samples that are on disk, those that were there before included.</summary>
    public long Samples => Volatile.Read(ref samples);

    /// <summary>Transactions that failed.</summary>
    public long Failed => Volatile.Read(ref failed);

    /// <summary>The time that all commits took, in seconds.</summary>
    public double Seconds => Volatile.Read(ref seconds);

    /// <summary>How many commits took at most as long as each bound, and in the last place all of them.</summary>
    public long[] Commits()
    {
        var sums = new long[commits.Length];
        var sum = 0L;

        for (var index = 0; index < commits.Length; index++)
        {
            sum += Volatile.Read(ref commits[index]);
            sums[index] = sum;
        }

        return sums;
    }

    /// <summary>Counts a transaction.</summary>
    public void Commit(int stored, TimeSpan duration)
    {
        var bound = Array.FindIndex(Bounds, limit => duration.TotalSeconds <= limit);
        Interlocked.Increment(ref commits[bound < 0 ? Bounds.Length : bound]);
        Interlocked.Add(ref samples, stored);
        Volatile.Write(ref seconds, seconds + duration.TotalSeconds);
    }

    /// <summary>Counts a transaction that failed.</summary>
    public void Fail() => Interlocked.Increment(ref failed);
}
