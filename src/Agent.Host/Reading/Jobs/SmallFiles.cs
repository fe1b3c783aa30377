using System.Runtime.InteropServices;
using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading.Jobs;

/// <summary>
/// Reads the many small files of processes and control groups, with the fewest system calls: of one process there are several, every half
/// second. Used by one thread.
/// </summary>
/// <param name="longest">No more is read of one file, in bytes: command lines and environments may be as long as two megabytes.</param>
/// <param name="mostKept">So many files are kept open.</param>
internal sealed partial class SmallFiles(int longest = 128 * 1024, int mostKept = SmallFiles.MostKept)
{
    /// <summary>
    /// Unless told otherwise so many files are kept open, out of the 1024 that a service may have open: to read one that is open costs less than half.
    /// </summary>
    public const int MostKept = 640;

    /// <summary>O_RDONLY, O_CLOEXEC and O_NONBLOCK: a pipe in the place of a file must not be waited for.</summary>
    private const int ReadOnly = 0x80800;

    /// <summary>What hands itself out in one piece is shorter; of the rest the end is looked for.</summary>
    private const int OnePiece = 2048;

    private const int NotThere = 2;
    private const int NoProcess = 3;

    /// <summary>No such device: what a file of a control group answers that was removed while the file was open.</summary>
    private const int Removed = 19;

    private const int NotADirectory = 20;
    private const int NoData = 61;
    private const int NotSupported = 95;
    private const int NotPermitted = 1;
    private const int Denied = 13;

    private byte[] buffer = new byte[4096];

    /// <summary>How many are open at present.</summary>
    public int Kept { get; private set; }

    /// <summary>Opens, reads and closes a file.</summary>
    public FSharpResult<T, SourceError> Read<T>(string path, TextParser<T> parse)
    {
        var descriptor = Open(path, ReadOnly);

        if (descriptor < 0)
        {
            return FSharpResult<T, SourceError>.NewError(ErrorOf(path, Marshal.GetLastPInvokeError()));
        }

        try
        {
            return ReadOpen(descriptor, path, parse);
        }
        finally
        {
            Close(descriptor);
        }
    }

    /// <summary>Opens a file to keep; -1 where that does not work, or where so many are open already.</summary>
    public int Keep(string path)
    {
        var descriptor = Kept < mostKept ? Open(path, ReadOnly) : -1;
        Kept += descriptor < 0 ? 0 : 1;
        return descriptor;
    }

    /// <summary>Closes a file that was kept.</summary>
    public void Drop(int descriptor)
    {
        Close(descriptor);
        Kept--;
    }

    /// <summary>Reads a file that is open, from its beginning.</summary>
    public FSharpResult<T, SourceError> ReadOpen<T>(int descriptor, string path, TextParser<T> parse)
    {
        var length = 0;

        while (true)
        {
            if (length == buffer.Length)
            {
                Array.Resize(ref buffer, buffer.Length * 2);
            }

            var count = (int)PositionedRead(descriptor, ref buffer[length], (nuint)(buffer.Length - length), length);

            if (count < 0)
            {
                return FSharpResult<T, SourceError>.NewError(ErrorOf(path, Marshal.GetLastPInvokeError()));
            }

            length += count;

            if (count == 0 || length < OnePiece || length >= longest)
            {
                var parsed = parse(buffer.AsSpan(0, length));

                return parsed.IsOk
                    ? FSharpResult<T, SourceError>.NewOk(parsed.ResultValue)
                    : FSharpResult<T, SourceError>.NewError(SourceError.NewGarbled(parsed.ErrorValue));
            }
        }
    }

    /// <summary>What the number of an error, as in errno(3), says about a file of a process or a control group.</summary>
    public static SourceError ErrorOf(string path, int error) => error switch
    {
        NotThere or NoProcess or Removed or NotADirectory or NoData or NotSupported => SourceError.NewAbsent(path),
        NotPermitted or Denied => SourceError.NewUnreadable(path, "permission denied"),
        _ => SourceError.NewUnreadable(path, Marshal.GetPInvokeErrorMessage(error)),
    };

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "pread", SetLastError = true)]
    private static partial nint PositionedRead(int descriptor, ref byte bytes, nuint count, long offset);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}

/// <summary>
/// A file that is read again and again, and kept open where there is room. What is open stays that of the process it was opened for, even when
/// another one takes over its number.
/// </summary>
/// <param name="path">Where it lies.</param>
/// <param name="files">Who reads it.</param>
internal sealed class KeptFile(string path, SmallFiles files) : IDisposable
{
    private int descriptor = -1;
    private bool isDisposed;

    /// <summary>What it says now.</summary>
    public FSharpResult<T, SourceError> Read<T>(TextParser<T> parse)
    {
        if (descriptor < 0 && !isDisposed)
        {
            descriptor = files.Keep(path);
        }

        return descriptor < 0 ? files.Read(path, parse) : files.ReadOpen(descriptor, path, parse);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        isDisposed = true;

        if (descriptor >= 0)
        {
            files.Drop(descriptor);
            descriptor = -1;
        }
    }
}
