using Agent.Outbound;
using Agent.Receiver.Cluster;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Cluster;

/// <summary>A record of the outbox, and where it lies.</summary>
/// <param name="Place">Where it begins.</param>
/// <param name="End">Where it ends.</param>
/// <param name="Body">Its bytes, without the line end.</param>
internal sealed record RelayRecord(SpoolPosition Place, SpoolPosition End, ReadOnlyMemory<byte> Body);

/// <summary>
/// Posted samples on their way to a cluster of metrics, on disk in the spool's format, in the order in which they came. One thread appends, another
/// reads and says what is done with.
/// </summary>
internal sealed class RelayOutbox : IDisposable
{
    private readonly Lock gate = new();
    private readonly SegmentFiles files;
    private readonly SpoolKeep keep;
    private readonly string directory;
    private readonly long limit;
    private readonly Action<string> warn;
    private long damaged;
    private long notTaken;
    private string refusing = "";

    private RelayOutbox(SegmentFiles files, SpoolKeep keep, string directory, long limit, Action<string> warn)
    {
        this.files = files;
        this.keep = keep;
        this.directory = directory;
        this.limit = limit;
        this.warn = warn;
        damaged = files.Torn;
    }

    /// <summary>From where records were not delivered when it was opened.</summary>
    public SpoolPosition Start => files.Start;

    /// <summary>Samples that wait.</summary>
    public long Waiting
    {
        get
        {
            lock (gate)
            {
                return files.Held;
            }
        }
    }

    /// <summary>Bytes of the files.</summary>
    public long Bytes
    {
        get
        {
            lock (gate)
            {
                return files.Size;
            }
        }
    }

    /// <summary>Samples whose bytes did not survive on the disk.</summary>
    public long Damaged => Interlocked.Read(ref damaged);

    /// <summary>Samples that were not taken.</summary>
    public long NotTaken => Interlocked.Read(ref notTaken);

    /// <summary>Opens the outbox, and goes on where it ended; else a sentence.</summary>
    /// <param name="directory">Is made when it is not there.</param>
    /// <param name="limit">So many bytes may wait.</param>
    /// <param name="warn">Takes sentences.</param>
    public static FSharpResult<RelayOutbox, string> Open(string directory, long limit, Action<string> warn)
    {
        var keep = new SpoolKeep(directory, Spool.SegmentSize(limit), warn);

        return SegmentFiles.Open(directory, limit, keep, warn).Match(
            files => FSharpResult<RelayOutbox, string>.NewOk(new RelayOutbox(files, keep, directory, limit, warn)),
            error => FSharpResult<RelayOutbox, string>.NewError(error.Match(
                inUse: static taken => $"--metrics-outbox: {taken} is in use by another dashboard; give each its own",
                unusable: static (place, reason) => $"--metrics-outbox: {place} cannot be used: {reason}")));
    }

    /// <summary>Appends records and waits until they are on the disk. How many of them are, from the first on, and why the others are not.</summary>
    public (int Taken, string Problem) Append(IReadOnlyList<byte[]> records)
    {
        var taken = 0;
        var problem = "";
        string[] unsynced = [];

        lock (gate)
        {
            try
            {
                for (; taken < records.Count; taken++)
                {
                    if (!ClusterRelay.HasRoom(limit, files.Size, records[taken].Length))
                    {
                        problem = ClusterRelay.Full(limit, directory);
                        break;
                    }

                    files.Append(records[taken]);
                }
            }
            catch (Exception fault) when (PrivateFiles.IsFault(fault))
            {
                problem = $"the outbox in {directory} cannot be written to: {FaultReason.Of(fault)}";
            }

            unsynced = files.TakeUnsynced();
        }

        // Outside the lock: what is there already can be read meanwhile.
        if (unsynced.Any(static path => !PrivateFiles.Sync(path)))
        {
            (taken, problem) = (0, $"the disk does not confirm what was written to {directory}");
        }

        Tell(problem);
        Interlocked.Add(ref notTaken, records.Count - taken);
        return (taken, problem);
    }

    /// <summary>
    /// The records from a place on, which moves behind what is damaged: so many, and so many bytes of them, but for the first. None where there is none.
    /// </summary>
    public List<RelayRecord> Read(ref SpoolPosition from, int most, int bytes)
    {
        var found = new List<RelayRecord>();

        lock (gate)
        {
            var place = from;

            while (found.Count < most && files.Seek(ref place) is { } segment)
            {
                try
                {
                    var record = files.Read(segment, place.Offset);
                    var end = new SpoolPosition(segment.Number, place.Offset + record.Length);

                    if (record.Span is [.. var body, (byte)'\n'] && Spool.IsIntact(body))
                    {
                        if (found.Count > 0 && (bytes -= body.Length) < 0)
                        {
                            break;
                        }

                        bytes -= found.Count == 0 ? body.Length : 0;
                        found.Add(new RelayRecord(place, end, body.ToArray()));
                        place = end;
                        continue;
                    }

                    // It has its turn when it is the oldest.
                    if (found.Count > 0)
                    {
                        break;
                    }

                    place = PassDamaged(segment, record.Span, place, end);
                }
                catch (Exception fault) when (PrivateFiles.IsFault(fault))
                {
                    if (found.Count > 0)
                    {
                        break;
                    }

                    place = PassUnreadable(segment, fault);
                }

                from = place;
            }
        }

        return found;
    }

    /// <summary>Records are delivered, or given up; <paramref name="settled"/> is from where they are not.</summary>
    public void Done(IEnumerable<RelayRecord> records, SpoolPosition settled)
    {
        lock (gate)
        {
            foreach (var record in records)
            {
                // One that was found unreadable meanwhile is gone, and counted.
                if ((Segment?)files.SegmentOf(record.Place) is { } segment)
                {
                    segment.Held--;
                }
            }

            files.Save(settled);
        }
    }

    /// <summary>Keeps a record that the cluster refuses for what it is, for people to look at.</summary>
    public void Refused(string reason, RelayRecord record) => keep.Refused(reason, record.Body.Span);

    /// <inheritdoc/>
    public void Dispose() => files.Dispose();

    private SpoolPosition PassDamaged(Segment segment, ReadOnlySpan<byte> record, SpoolPosition place, SpoolPosition end)
    {
        var isWhole = record is [.., (byte)'\n'];
        var lost = isWhole ? 1 : segment.Held;
        segment.Held -= lost;
        Interlocked.Add(ref damaged, lost);
        var isKept = keep.Damaged(record);
        warn($"{segment.Path} holds a damaged record at byte {place.Offset}; it is {(isKept ? $"kept in {keep.DamagedDirectory}" : "dropped")}");

        // Without a line end somebody cut the file: nothing of it is left.
        return isWhole ? end : new SpoolPosition(segment.Number, segment.Size);
    }

    private SpoolPosition PassUnreadable(Segment segment, Exception fault)
    {
        var lost = segment.Held;
        Interlocked.Add(ref damaged, lost);
        var isKept = files.MoveAside(segment, keep);
        warn(
            $"{segment.Path} cannot be read: {FaultReason.Of(fault)}; with its {lost} samples it is "
            + (isKept ? $"kept in {keep.DamagedDirectory}" : "left there"));
        return new SpoolPosition(segment.Number + 1, 0);
    }

    /// <summary>Says each change once.</summary>
    private void Tell(string problem)
    {
        if (problem != refusing)
        {
            warn(problem.Length > 0 ? $"samples cannot be taken; agents keep them: {problem}" : "samples are taken again");
        }

        refusing = problem;
    }
}
