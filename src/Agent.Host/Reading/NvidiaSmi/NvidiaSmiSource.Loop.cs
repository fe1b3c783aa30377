using Agent.Core;
using Agent.Sender;
using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <content>The program that loops: its rounds, its end, its silence.</content>
internal sealed partial class NvidiaSmiSource
{
    private TimeSpan Loop()
    {
        var query = single.Query;
        var period = clock.ToReal(Longest(interval, ShortestLoop));
        var started = program.Start(NvidiaSmiQueryModule.LoopArguments(period, query));

        if (started.IsError)
        {
            Fail(started.ErrorValue, null);
            Settle();
            return started.ErrorValue.IsAbsent ? LookAgain : BackOff();
        }

        NvidiaSmiLoop loop;

        try
        {
            loop = new NvidiaSmiLoop(started.ResultValue, query, gate, Publish);
        }
        catch (ThreadLimitException few)
        {
            program.Abandon(started.ResultValue);
            Fail(SourceError.NewUnreadable(NvidiaSmiProcess.Name, few.Message), null);
            Settle();
            return BackOff();
        }

        var startedAt = clock.Elapsed;

        while (true)
        {
            var hadRounds = loop.Rounds > 0;
            Pause(
                Shortest(hadRounds ? processesDue : TimeSpan.MaxValue, HeardAt() + (hadRounds ? silence : LongestStart)),
                () => loop.HasClosed || loop.HasLostSession || (!hadRounds && loop.Rounds > 0));

            if (IsStopped)
            {
                program.Abandon(loop.Process);
                return TimeSpan.Zero;
            }

            if (loop.HasClosed)
            {
                return Ended(loop, startedAt);
            }

            if (loop.HasLostSession)
            {
                return LostSession(loop, startedAt);
            }

            var hasRounds = loop.Rounds > 0;

            if (!hadRounds && hasRounds)
            {
                program.Limit = Longest(program.Limit, Shortest((clock.Elapsed - startedAt) * Allowance, LongestStart));
            }

            if (clock.Elapsed - HeardAt() >= (hasRounds ? silence : LongestStart))
            {
                return FellSilent(loop);
            }

            if (loop.Rounds > 0)
            {
                ReadProcesses();
                Settle();
            }
        }

        TimeSpan HeardAt()
        {
            lock (gate)
            {
                return loop.Rounds > 0 ? takenAt : startedAt;
            }
        }
    }

    private TimeSpan Ended(NvidiaSmiLoop loop, TimeSpan startedAt)
    {
        if (!loop.Process.WaitForExit(clock.ToReal(Ending)))
        {
            program.Abandon(loop.Process);
            Fail(SourceError.NewUnreadable(NvidiaSmiProcess.Name, "it closed its pipe but kept running; it was killed"), null);
            Settle();
            return BackOff();
        }

        using var process = loop.Process;
        using var output = process.StandardOutput;
        using var errors = process.StandardError;
        var code = process.ExitCode;
        var cause = loop.Rounds > 0 ? null : NvidiaSmiFailureModule.Of(code, loop.Words);

        if (cause is not null && single.LearnFrom(cause))
        {
            return TimeSpan.Zero;
        }

        // "No devices were found" is an answer. It may be another one after a while.
        if (Failure is { IsNoDevices: true })
        {
            Settle();
            return LookAgain;
        }

        // Some wrapper that does not know how to loop.
        if (code == 0 && loop.Rounds > 0)
        {
            isLooping = false;
            ReadProcesses();
            Settle();
            return Longest(interval, ShortestPeriod);
        }

        // Nor does one that knows no such option, as wrappers do: whether it tells anything by itself is seen at once.
        if (cause is { IsOther: true })
        {
            (isLooping, tookOver) = (false, true);
            return TimeSpan.Zero;
        }

        failures = clock.Elapsed - startedAt > GoodRun ? 0 : failures;
        Fail(
            loop.Rounds > 0
                ? SourceError.NewUnreadable(NvidiaSmiProcess.Name, $"it ended with exit code {code}; it is started again")
                : NvidiaSmiProcess.Failed(code, loop.Words),
            cause);
        Settle();
        return BackOff();
    }

    // As after a suspend: it would print the same refusals for ever, where a new start may read everything.
    private TimeSpan LostSession(NvidiaSmiLoop loop, TimeSpan startedAt)
    {
        program.Abandon(loop.Process);
        failures = clock.Elapsed - startedAt > GoodRun ? 0 : failures;
        Fail(
            SourceError.NewUnreadable(NvidiaSmiProcess.Name, "it cannot read any more what it read before; it was killed and is started again"),
            null);
        Settle();
        return BackOff();
    }

    private TimeSpan FellSilent(NvidiaSmiLoop loop)
    {
        program.Abandon(loop.Process);
        Fail(
            SourceError.NewUnreadable(
                NvidiaSmiProcess.Name,
                $"it printed nothing for {(loop.Rounds > 0 ? silence : LongestStart).TotalSeconds:0.#} s and was killed; from now on it is started for each reading"),
            null);
        Settle();
        isLooping = false;
        tookOver = true;

        // The killed one must be gone before the next start, if it can be killed at all.
        return Ending;
    }

    // 2 s, 4 s, 8 s … half a minute.
    private TimeSpan BackOff()
    {
        var wait = ShortestPeriod * Math.Pow(2, Math.Min(failures, 5));
        failures++;
        return Shortest(wait, LookAgain);
    }
}
