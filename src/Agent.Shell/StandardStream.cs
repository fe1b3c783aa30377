using System.Runtime.InteropServices;
using System.Text;

namespace Agent.Shell;

/// <summary>
/// Standard output or standard error. The class library's console comes with everything a terminal may need, which is far
/// more than these programs do. A reader that has gone, as in <c>--help | head</c>, is not an error; a full disk is one.
/// </summary>
/// <param name="descriptor">1 or 2.</param>
internal sealed partial class StandardStream(int descriptor) : Stream
{
    private const int Interrupted = 4;
    private const int TryAgain = 11;
    private const int BrokenPipe = 32;

    /// <summary>POLLOUT of poll(2).</summary>
    private const short PollOut = 4;

    /// <summary>poll(2) tells a pipe that has room for so much (PIPE_BUF of pipe(7)); a write of no more does not wait then.</summary>
    private const int RoomPolled = 4096;

    /// <summary>A reader that is only slow has made room by then.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    private static readonly byte[] LineEnd = "\n"u8.ToArray();

    private long missing;
    private bool isFull;
    private bool isTorn;

    /// <summary>Standard output.</summary>
    public static Stream Output => new StandardStream(1);

    /// <summary>Standard error.</summary>
    public static Stream Errors => new StandardStream(2);

    /// <summary>True once nobody reads it any more.</summary>
    public bool IsUnread { get; private set; }

    /// <summary>Whether nobody reads any more what the writer writes, as behind <c>| head -1</c>.</summary>
    public static bool IsUnreadBehind(TextWriter writer) => writer is StreamWriter { BaseStream: StandardStream { IsUnread: true } };

    /// <summary>The stream that the writer writes to; null where it writes elsewhere.</summary>
    public static StandardStream? Behind(TextWriter writer) => (writer as StreamWriter)?.BaseStream as StandardStream;

    /// <inheritdoc/>
    public override bool CanRead => false;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            if (Put(buffer) is var written and >= 0)
            {
                buffer = buffer[written..];
            }
            else
            {
                // Somebody who shares the terminal or pipe made it one that does not block.
                HasRoom(Timeout.InfiniteTimeSpan);
            }
        }
    }

    /// <summary>
    /// Writes a line without waiting for whoever reads it, but for a moment. A reader that stalls (a container's log driver, a terminal after
    /// Ctrl-S) would hold up whoever writes for as long. A line, or the rest of one, for which there is no room is left out, and the next one is
    /// not waited for at all; how many those were is said before the first one that there is room for. For one thread at a time.
    /// </summary>
    /// <param name="prefix">Begins the line, and what is said of lines that were left out.</param>
    /// <param name="line">Goes on with it, without a line end.</param>
    public void WriteLine(string prefix, string line)
    {
        if (missing > 0 && TryWriteLine($"{prefix}{missing} line(s) missing here: nobody read this stream"))
        {
            missing = 0;
        }

        missing += missing == 0 && TryWriteLine(prefix + line) ? 0 : 1;
    }

    private bool TryWriteLine(string line)
    {
        // What follows the beginning of a line is no part of it.
        isFull = (isTorn && !TryWrite(LineEnd)) || !TryWrite(Encoding.UTF8.GetBytes(line + "\n"));
        return !isFull;
    }

    private bool TryWrite(ReadOnlySpan<byte> rest)
    {
        var isWhole = true;

        while (!rest.IsEmpty)
        {
            var written = HasRoom(isFull ? TimeSpan.Zero : Patience) ? Put(rest[..Math.Min(rest.Length, RoomPolled)]) : -1;

            if (written < 0)
            {
                isTorn |= !isWhole;
                return false;
            }

            isWhole = false;
            rest = rest[written..];
        }

        isTorn = false;
        return true;
    }

    /// <summary>Writes as much as goes at once, and tells how much; -1 where the descriptor does not block and has no room.</summary>
    private int Put(ReadOnlySpan<byte> bytes)
    {
        while (true)
        {
            if (Write(descriptor, ref MemoryMarshal.GetReference(bytes), (nuint)bytes.Length) is var written and >= 0)
            {
                return (int)written;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case Interrupted:
                    break;
                case TryAgain:
                    return -1;
                case BrokenPipe:
                    IsUnread = true;
                    return bytes.Length;
                case var error:
                    throw new IOException(Marshal.GetPInvokeErrorMessage(error), error);
            }
        }
    }

    /// <summary>Waits until there is room, or something that a write will tell; false when the time is over.</summary>
    private bool HasRoom(TimeSpan limit)
    {
        var full = new PollDescriptor(descriptor, PollOut);
        return Poll(ref full, 1, (int)limit.TotalMilliseconds) != 0;
    }

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint Write(int descriptor, ref byte bytes, nuint count);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(ref PollDescriptor descriptors, nuint count, int milliseconds);

    /// <summary>pollfd of poll(2).</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor(int descriptor, short events)
    {
        public int Descriptor = descriptor;
        public short Events = events;
        public short Returned;
    }
}
