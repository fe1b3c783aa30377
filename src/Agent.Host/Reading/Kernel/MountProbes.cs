using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>
/// Asks mounts something that may hang, as statvfs(3) does on a network file system whose server is gone. Each has a limit of its
/// own: one that does not answer costs itself. It keeps its thread until it answers, and is not asked again before that.
/// </summary>
/// <param name="clock">The monotonic clock.</param>
/// <param name="ask">The question, asked with the mount's directory.</param>
/// <param name="kind">What is asked: its threads are called so.</param>
/// <param name="silence">What one that does not answer in time is told with, behind the time.</param>
/// <param name="start">Starts a thread with so large a stack and this name.</param>
internal sealed class MountProbes<T>(
    AgentClock clock,
    Func<string, FSharpResult<T, SourceError>> ask,
    string kind = "file systems",
    Func<TimeSpan, string>? silence = null,
    Action<Action, int, string>? start = null)
{
    /// <summary>So many mounts are waited for at a time, those of earlier rounds that still hang included.</summary>
    public const int MostThreads = 8;

    /// <summary>How long a mount may take.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    /// <summary>After so long without an answer another thread goes on with the others, so that several that hang take one limit.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    private readonly Action<Action, int, string> start = start ?? (static (run, stack, name) => Threads.Start(run, stack, name));
    private readonly object gate = new();
    private readonly Queue<Probe> waiting = new();
    private readonly List<Probe> running = [];
    private bool isOneFree;

    /// <summary>An answer for each directory, in their order.</summary>
    public FSharpResult<T, SourceError>[] Ask(IEnumerable<string> directories)
    {
        lock (gate)
        {
            // Loops: a Select of what another Select gives is a generic virtual method, for which the runtime reads a megabyte of its
            // tables at every new one (ADR 15), and this runs for ever.
            List<Probe> probes = [];

            foreach (var directory in directories)
            {
                var probe = new Probe(directory);
                probes.Add(probe);

                if (!running.Exists(other => other.Directory == probe.Directory))
                {
                    waiting.Enqueue(probe);
                }
            }

            if (isOneFree)
            {
                Monitor.PulseAll(gate);
            }

            while (!IsOver())
            {
                if (waiting.Count > 0 && !isOneFree && running.Count < MostThreads && running.TrueForAll(probe => IsOlder(probe, Patience)))
                {
                    var first = Next();

                    try
                    {
                        start(() => Work(first), 256 * 1024, kind);
                    }
                    catch (ThreadLimitException few)
                    {
                        Refuse(first, few.Message);
                    }
                }

                clock.Wait(gate, Patience);
            }

            var unasked = waiting.ToHashSet();
            waiting.Clear();
            return [.. probes.ConvertAll(probe => probe.Answer ?? Silence(probe, unasked.Contains(probe)))];
        }
    }

    // Nothing waits or nobody is free for it, and nothing runs that has time left.
    private bool IsOver() =>
        (waiting.Count == 0 || running.Count == MostThreads) && running.TrueForAll(probe => IsOlder(probe, Limit));

    // Without a thread of its own it waits for one that has time left; without such a one nobody asks the others.
    private void Refuse(Probe first, string reason)
    {
        running.Remove(first);

        if (running.Exists(probe => !IsOlder(probe, Limit)))
        {
            waiting.Enqueue(first);
            return;
        }

        foreach (var probe in waiting.Prepend(first))
        {
            probe.Answer = FSharpResult<T, SourceError>.NewError(SourceError.NewUnreadable(kind, reason));
        }

        waiting.Clear();
    }

    private bool IsOlder(Probe probe, TimeSpan age) => clock.Elapsed - probe.Since >= age;

    private Probe Next()
    {
        var probe = waiting.Dequeue();
        probe.Since = clock.Elapsed;
        running.Add(probe);
        return probe;
    }

    private void Work(Probe? probe)
    {
        while (probe is not null)
        {
            FSharpResult<T, SourceError> answer;

            try
            {
                answer = ask(probe.Directory);
            }
            catch (Exception defect)
            {
                // Costs this mount; the source says what it is at its next reading.
                answer = FSharpResult<T, SourceError>.NewError(
                    SourceError.NewUnreadable(probe.Directory, $"a defect of the agent: {defect.GetType().Name}: {defect.Message}"));
            }

            lock (gate)
            {
                probe.Answer = answer;
                running.Remove(probe);
                probe = NextOrNone();
            }
        }
    }

    // One thread stays for the next round: to start one costs more than most answers.
    private Probe? NextOrNone()
    {
        while (waiting.Count == 0)
        {
            // Who asks is not woken for each answer.
            Monitor.PulseAll(gate);

            if (isOneFree)
            {
                return null;
            }

            isOneFree = true;
            Monitor.Wait(gate);
            isOneFree = false;
        }

        return Next();
    }

    // Those that were not asked share one name, and so are told once, however many there are.
    private FSharpResult<T, SourceError> Silence(Probe probe, bool isUnasked) =>
        FSharpResult<T, SourceError>.NewError(isUnasked
            ? SourceError.NewUnreadable($"the other {kind}", $"not asked, because {MostThreads} {(silence is null ? "mounts" : kind)} do not answer")
            : SourceError.NewUnreadable(
                probe.Directory,
                silence is null ? $"statvfs does not answer within {Limit.TotalSeconds:0} s; is its server gone?" : silence(Limit)));

    private sealed class Probe(string directory)
    {
        public string Directory => directory;

        public TimeSpan Since { get; set; }

        public FSharpResult<T, SourceError>? Answer { get; set; }
    }
}
