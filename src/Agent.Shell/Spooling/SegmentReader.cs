using Agent.Core;
using Agent.Outbound;

namespace Agent.Shell;

/// <summary>Reads records one after the other, a piece of a segment at a time.</summary>
internal sealed class SegmentReader : IDisposable
{
    private const int PieceLength = 64 * 1024;

    private byte[] piece = new byte[PieceLength];
    private FileStream? file;
    private long number = -1;
    private long start;
    private int length;

    /// <summary>
    /// The record that begins at the offset, with its line end; without one when the segment has none before its end.
    /// Valid until the next call. Throws what the disk throws.
    /// </summary>
    /// <param name="segment">Where it is.</param>
    /// <param name="offset">Where it begins.</param>
    /// <param name="writer">May have the same file open, by which one that was deleted can still be read.</param>
    public ReadOnlyMemory<byte> Read(Segment segment, long offset, SegmentWriter? writer = null)
    {
        if (number != segment.Number)
        {
            Dispose();
            file = !File.Exists(segment.Path) && writer?.OpenName(segment) is { } open
                ? new FileStream(open, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0)
                : PrivateFiles.Open(segment.Path, FileMode.Open, FileAccess.Read);
            number = segment.Number;
        }

        if (Buffered(offset) is { Length: > 0 } record)
        {
            return record;
        }

        var size = PieceLength;

        while (true)
        {
            var wanted = (int)Math.Min(size, segment.Size - offset);
            Fill(size, offset, wanted);

            if (Buffered(offset) is { Length: > 0 } found)
            {
                return found;
            }

            if (length < wanted || wanted == segment.Size - offset)
            {
                return piece.AsMemory(0, length);
            }

            size *= 2;
        }
    }

    /// <summary>
    /// Counts the records from the offset to the end of the file, and where the last one ends. Throws what the disk throws.
    /// </summary>
    public (long Records, long End, long FileLength) Scan(string path, long offset)
    {
        using var stream = PrivateFiles.Open(path, FileMode.Open, FileAccess.Read);
        var (records, end, at) = (0L, offset, offset);

        for (int count; (count = RandomAccess.Read(stream.SafeFileHandle, piece, at)) > 0;)
        {
            var tally = Spool.TallyOf(piece.AsSpan(0, count));
            at += count;
            records += tally.Records;
            end = tally.Records > 0 ? at - tally.Tail : end;
        }

        length = 0;
        return (records, end, at);
    }

    /// <summary>Forgets the segment that is open, which may be replaced or go.</summary>
    public void Dispose()
    {
        file?.Dispose();
        file = null;
        number = -1;
        length = 0;
    }

    private ReadOnlyMemory<byte> Buffered(long offset)
    {
        if (offset < start || offset >= start + length)
        {
            return default;
        }

        var from = (int)(offset - start);
        return piece.AsMemory(from, Spool.RecordLength(piece.AsSpan(from, length - from)));
    }

    private void Fill(int size, long offset, int wanted)
    {
        // Back to the usual size after a record that needed more.
        if (piece.Length != size)
        {
            piece = new byte[size];
        }

        (start, length) = (offset, 0);

        for (int count; length < wanted; length += count)
        {
            count = RandomAccess.Read(file!.SafeFileHandle, piece.AsSpan(length, wanted - length), offset + length);

            if (count == 0)
            {
                break;
            }
        }
    }
}
