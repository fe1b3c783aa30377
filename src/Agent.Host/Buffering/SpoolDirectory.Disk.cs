using Agent.Core;
using Agent.Outbound;

namespace Agent.Host.Buffering;

/// <summary>Writing: moves samples to the disk when it takes them, and makes them safe there.</summary>
internal sealed partial class SpoolDirectory
{
    /// <inheritdoc/>
    public void Flush()
    {
        LookForDirectory();

        if (files is null)
        {
            TryAgain();
        }
        else if (clock.Elapsed - syncedAt >= SyncPeriod && Count > 0)
        {
            syncedAt = clock.Elapsed;
            Sync();
        }
    }

    // Whoever tidies up may delete the directory. What is held there can be delivered while the agent runs, and is lost with it. Once it is
    // delivered the directory is made anew.
    private void LookForDirectory()
    {
        if (clock.Elapsed - lookedAt < SyncPeriod)
        {
            return;
        }

        lookedAt = clock.Elapsed;

        lock (gate)
        {
            if (files is not { IsGone: true } gone)
            {
                return;
            }

            if (!isGone)
            {
                isGone = true;
                warn($"{directory} was deleted while it is in use; what waits there is lost if the agent ends before it is delivered: {gone.Held}");
            }

            if (Held == 0)
            {
                gone.Dispose();
                files = null;
                newest = null;
                isGone = false;
                triedAt = clock.Elapsed - RetryPeriod;
            }
        }
    }

    // Outside the lock: a slow disk must not hold up the thread that samples.
    private void Sync()
    {
        string[] paths;

        lock (gate)
        {
            paths = files?.TakeUnsynced() ?? [];
        }

        var failed = paths.Where(static path => !PrivateFiles.Sync(path)).ToArray();

        if (failed.Length > 0 && !syncFails)
        {
            warn($"{failed[0]} may not survive a power failure: the disk does not confirm what was written");
        }

        syncFails = failed.Length > 0 || (syncFails && paths.Length == 0);
    }

    // Opening reads what an earlier run left, so it is done outside the lock as well.
    private void TryAgain()
    {
        if (clock.Elapsed - triedAt < RetryPeriod)
        {
            return;
        }

        triedAt = clock.Elapsed;
        var opened = SegmentFiles.Open(directory, limit, keep, warn);

        if (opened.IsError)
        {
            return;
        }

        lock (gate)
        {
            // An earlier run's samples go first.
            TakeBack();
            Use(opened.ResultValue);
            MoveToDisk();
        }

        warn($"{directory} can be used again");
    }

    private void MoveToDisk()
    {
        if (files is null)
        {
            return;
        }

        foreach (var refused in aside)
        {
            if (refused.Place is null)
            {
                if (!TryAppend(refused))
                {
                    return;
                }

                refused.Sample = null;
                head = refused.End!.Value;
            }
        }

        while (memory.First is { } oldest && TryAppend(oldest.Value))
        {
            newest = oldest.Value;
            memory.RemoveFirst();
        }
    }

    private bool TryAppend(Entry entry)
    {
        try
        {
            var body = entry.Sample!.Body;
            var place = files!.Append(body);
            entry.Place = place;
            entry.End = new SpoolPosition(place.Segment, place.Offset + body.Length + 1);

            if (diskRefuses)
            {
                diskRefuses = false;
                warn($"{directory} can be written to again");
            }

            return true;
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            if (!diskRefuses)
            {
                diskRefuses = true;
                warn($"{directory} cannot be written to: {FaultReason.Of(error)}; samples wait in memory, {memoryCapacity} at most");
            }

            return false;
        }
    }
}
