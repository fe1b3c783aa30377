using System.Globalization;

namespace Agent.Host.Sampling;

/// <summary>
/// What samples cost that were taken back to back, without a network. Asked for by a variable that is in no help, so that
/// tests and benchmarks measure the published program itself.
/// </summary>
/// <param name="Samples">How many were taken.</param>
/// <param name="Elapsed">How long that took.</param>
/// <param name="Processor">The processor time of the whole process meanwhile.</param>
/// <param name="Allocated">Bytes that the sampling thread allocated.</param>
/// <param name="Collections">Garbage collections meanwhile, by generation.</param>
internal sealed record SamplingCost(
    int Samples, TimeSpan Elapsed, TimeSpan Processor, long Allocated, (int Zero, int One, int Two) Collections)
{
    /// <summary>Takes the samples and measures.</summary>
    public static SamplingCost Of(int samples, AgentClock clock, Action takeSample)
    {
        var collections = CollectionsSoFar();
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var processor = Environment.CpuUsage.TotalTime;
        var start = clock.Elapsed;

        for (var i = 0; i < samples; i++)
        {
            takeSample();
        }

        var now = CollectionsSoFar();

        return new(
            samples,
            clock.Elapsed - start,
            Environment.CpuUsage.TotalTime - processor,
            GC.GetAllocatedBytesForCurrentThread() - allocated,
            (now.Zero - collections.Zero, now.One - collections.One, now.Two - collections.Two));
    }

    /// <summary>One line of JSON.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $$"""{"samples":{{Samples}},"elapsed_us":{{Elapsed.TotalMicroseconds:0}},"cpu_us":{{Processor.TotalMicroseconds:0}},"allocated_bytes":{{Allocated}},"gen0":{{Collections.Zero}},"gen1":{{Collections.One}},"gen2":{{Collections.Two}}}""");

    private static (int Zero, int One, int Two) CollectionsSoFar() =>
        (GC.CollectionCount(0), GC.CollectionCount(1), GC.CollectionCount(2));
}
