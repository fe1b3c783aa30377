using System.Runtime.InteropServices;

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

    /// <summary>Standard output.</summary>
    public static Stream Output => new StandardStream(1);

    /// <summary>Standard error.</summary>
    public static Stream Errors => new StandardStream(2);

    /// <summary>True once nobody reads it any more.</summary>
    public bool IsUnread { get; private set; }

    /// <summary>Whether nobody reads any more what the writer writes, as behind <c>| head -1</c>.</summary>
    public static bool IsUnreadBehind(TextWriter writer) => writer is StreamWriter { BaseStream: StandardStream { IsUnread: true } };

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
            var written = Write(descriptor, ref MemoryMarshal.GetReference(buffer), (nuint)buffer.Length);

            if (written >= 0)
            {
                buffer = buffer[(int)written..];
                continue;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case Interrupted:
                    break;
                case TryAgain:
                    // Somebody who shares the terminal or pipe made it one that does not block.
                    var full = new PollDescriptor(descriptor, PollOut);
                    _ = Poll(ref full, 1, Timeout.Infinite);
                    break;
                case BrokenPipe:
                    IsUnread = true;
                    return;
                case var error:
                    throw new IOException(Marshal.GetPInvokeErrorMessage(error), error);
            }
        }
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
