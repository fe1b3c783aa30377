using Agent.Core;
using Agent.Sender;
using Agent.Core.Gpu;
using Agent.Host.Reading;

namespace Agent.Host.Diagnosing;

/// <summary>One reading of the GPUs by whichever reader works, and everything that explains why there are none.</summary>
internal sealed class GpuCheck(Settings settings, AgentClock clock)
{
    /// <summary>The costly queries that go with a reading of the library.</summary>
    private static readonly TimeSpan Period = TimeSpan.FromMinutes(1);

    /// <summary>As long as nvidia-smi may take, and a little less for the clock's sake.</summary>
    private static readonly TimeSpan ProgramLimit = TimeSpan.FromSeconds(1.9);

    /// <summary>What is known when not even a reading has come back in time.</summary>
    public static GpuFact Hanging(Settings settings, TimeSpan limit) => new(
        settings.GpuReader,
        GpuPlaces.Look(settings.SysFs, settings.ProcFs),
        Nvml.State.NotTried,
        NvidiaSmiState.NotAsked,
        new([], []),
        $"no answer within {limit.TotalSeconds:0.#} s");

    /// <summary>Reads once.</summary>
    public GpuFact Read()
    {
        var surroundings = GpuPlaces.Look(settings.SysFs, settings.ProcFs);
        var state = Nvml.State.NotTried;
        GpuReading? reading = null;

        if (settings.GpuReader is GpuReader.Auto or GpuReader.Nvml)
        {
            var library = new NvmlSource(settings.NvmlLibrary, settings.ProcFs, settings.SysFs, Period, Period, clock);
            reading = library.Read();
            state = library.State;
            library.Stop();
        }

        var isAnswered = reading is not null || state.IsOpened;
        var (program, found) = settings.GpuReader == GpuReader.NvidiaSmi || (settings.GpuReader == GpuReader.Auto && !isAnswered)
            ? AskProgram()
            : (NvidiaSmiState.NotAsked, null);

        var answer = reading ?? found ?? new([], []);
        var whole = new GpuReading(answer.Gpus, SourceErrors.Together(answer.Faults, GpuPlaces.Unlisted(settings.ProcFs, answer.Gpus)));
        return new(settings.GpuReader, surroundings, state, program, whole, "");
    }

    private (NvidiaSmiState State, GpuReading? Reading) AskProgram()
    {
        var begin = clock.Elapsed;
        var program = new NvidiaSmiProcess(clock);

        return program.Read().Match<GpuReading, SourceError, (NvidiaSmiState, GpuReading?)>(
            reading => (NvidiaSmiState.Told, reading),
            error => (
                error.IsAbsent ? NvidiaSmiState.Missing
                : clock.Elapsed - begin >= ProgramLimit ? NvidiaSmiState.Hung
                : NvidiaSmiState.NewFailed(program.Failure ?? NvidiaSmiFailure.Other, error.ToString()),
                null));
    }
}
