using System.Diagnostics;
using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <summary>One nvidia-smi that goes on printing rounds. Its pipes are read on threads of their own.</summary>
internal sealed class NvidiaSmiLoop
{
    /// <summary>What a failing nvidia-smi says fits into this.</summary>
    private const int LongestWords = 4096;

    private readonly object gate;
    private readonly Action<GpuReading> take;
    private readonly MemoryStream words = new();
    private NvidiaSmiStream stream;
    private int openPipes = 2;

    /// <summary>Begins reading what a process prints that was started with the arguments of a loop.</summary>
    /// <param name="process">The process.</param>
    /// <param name="query">What it was asked for.</param>
    /// <param name="gate">Pulsed with the first round, and when the process has closed its pipes.</param>
    /// <param name="take">Called with the lock on the gate for the newest round, whenever there is a new one.</param>
    public NvidiaSmiLoop(Process process, NvidiaSmiQuery query, object gate, Action<GpuReading> take)
    {
        this.gate = gate;
        this.take = take;
        Process = process;
        stream = NvidiaSmiStreamModule.Start(query);
        ChildProcess.Reader(process.StandardOutput, "gpu rounds", Output);
        ChildProcess.Reader(process.StandardError, "gpu messages", Message);
    }

    /// <summary>The process.</summary>
    public Process Process { get; }

    /// <summary>How often there was a new round.</summary>
    public long Rounds { get; private set; }

    /// <summary>True once it has closed its pipes: it has ended or is about to.</summary>
    public bool HasClosed => openPipes == 0;

    /// <summary>True once it is refused values that it told: its session with the driver is at an end.</summary>
    public bool HasLostSession { get; private set; }

    /// <summary>What it printed in place of a table.</summary>
    public ReadOnlySpan<byte> Words => words.GetBuffer().AsSpan(0, (int)words.Length);

    private bool Output(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return Close(NvidiaSmiStreamModule.Finish(stream) is { IsSome: true } rest ? rest.Value : null);
        }

        (stream, var rounds) = NvidiaSmiStreamModule.Feed(bytes.Span, stream);

        lock (gate)
        {
            if (!NvidiaSmiStreamModule.HasTable(stream))
            {
                Keep(bytes);
            }

            if (rounds.Length > 0)
            {
                var hasEnded = NvidiaSmiStreamModule.HasEndedSession(stream);

                // Whoever waits for the first round need not be woken for the others.
                if (Rounds == 0 || hasEnded != HasLostSession)
                {
                    HasLostSession = hasEnded;
                    Monitor.PulseAll(gate);
                }

                Rounds += rounds.Length;
                take(rounds[^1]);
            }
        }

        return true;
    }

    private bool Message(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return Close(null);
        }

        lock (gate)
        {
            Keep(bytes);
        }

        return true;
    }

    // A round that was cut short is better than none, and worse than the whole one before it.
    private bool Close(GpuReading? rest)
    {
        lock (gate)
        {
            if (rest is not null && Rounds == 0)
            {
                Rounds++;
                take(rest);
            }

            openPipes--;
            Monitor.PulseAll(gate);
        }

        return false;
    }

    private void Keep(ReadOnlyMemory<byte> bytes) =>
        words.Write(bytes.Span[..Math.Min(bytes.Length, LongestWords - (int)words.Length)]);
}
