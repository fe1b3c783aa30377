using Agent.Core;

namespace Agent.Shell;

/// <summary>Appends records to the newest segment, whole or not at all.</summary>
internal sealed class SegmentWriter : IDisposable
{
    private static readonly ReadOnlyMemory<byte> LineEnd = new byte[] { (byte)'\n' };

    private readonly ReadOnlyMemory<byte>[] parts = new ReadOnlyMemory<byte>[2];
    private FileStream? file;
    private long number = -1;

    /// <summary>True when the segment is the one that is written to.</summary>
    public bool Has(Segment segment) => number == segment.Number;

    /// <summary>By which name of proc_pid_fd(5) the segment can be opened whatever becomes of its file; null unless it is written to.</summary>
    public string? OpenName(Segment segment) => Has(segment) ? $"/proc/self/fd/{file!.SafeFileHandle.DangerousGetHandle()}" : null;

    /// <summary>Goes on with a segment, or begins it. Throws what the disk throws.</summary>
    public void Begin(Segment segment, bool isNew)
    {
        Dispose();
        file = PrivateFiles.Open(segment.Path, isNew ? FileMode.CreateNew : FileMode.Open, FileAccess.Write);
        number = segment.Number;
    }

    /// <summary>Appends a record. Throws what the disk throws, and then nothing was appended.</summary>
    public void Append(Segment segment, ReadOnlyMemory<byte> body)
    {
        (parts[0], parts[1]) = (body, LineEnd);

        try
        {
            RandomAccess.Write(file!.SafeFileHandle, parts, segment.Size);
        }
        catch (IOException)
        {
            CutTo(segment.Size);
            throw;
        }
        catch (ArgumentOutOfRangeException error)
        {
            // So the class library calls EFBIG: the file may grow no further, by a limit of the process or of the file system.
            CutTo(segment.Size);
            throw new IOException("File too large", error);
        }

        segment.Size += body.Length + 1;
        segment.Held++;
        parts[0] = default;
    }

    /// <summary>Leaves the segment; a later append needs a new one.</summary>
    public void Dispose()
    {
        file?.Dispose();
        file = null;
        number = -1;
    }

    // Half a record must not stay before the next one.
    private void CutTo(long size)
    {
        try
        {
            file!.SetLength(size);
        }
        catch (IOException)
        {
            Dispose();
        }
    }
}
