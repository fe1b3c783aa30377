using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Host.Service;
using Microsoft.FSharp.Core;
using Microsoft.Win32.SafeHandles;

namespace Agent.Host.Reading;

/// <summary>Memory that kernel files are read into; one for each thread that reads.</summary>
internal sealed partial class ReadBuffer
{
    /// <summary>
    /// What the kernel collects records in, in bytes, before it hands them out: a page, of 4 KiB or more. It puts another one
    /// into it as long as that fits (seq_read_iter in fs/seq_file.c).
    /// </summary>
    public const int Page = 4096;

    private byte[] bytes = new byte[16 * 1024];

    /// <summary>The whole file from its beginning; valid until the next read into this buffer.</summary>
    /// <param name="file">Open for reading.</param>
    /// <param name="longestRecord">
    /// No record of the file after its first has more bytes. A read that leaves room for one in the kernel's page has then
    /// reached the end, and is not followed by one that finds nothing.
    /// </param>
    public ReadOnlySpan<byte> ReadWhole(SafeFileHandle file, int longestRecord = Page)
    {
        // The class library's way comes with checks and counts that one thread with its own file has no need of.
        var descriptor = (int)file.DangerousGetHandle();
        var length = 0;

        // A kernel file may hand itself out in pieces; where their records may be of any length, only a read of nothing is its end.
        while (true)
        {
            if (length == bytes.Length)
            {
                Array.Resize(ref bytes, bytes.Length * 2);
            }

            var count = (int)Read(descriptor, ref bytes[length], (nuint)(bytes.Length - length), length);

            // It knows what to throw, though, and what can be tried again.
            count = count < 0 ? RandomAccess.Read(file, bytes.AsSpan(length), length) : count;

            if (count == 0)
            {
                return bytes.AsSpan(0, length);
            }

            length += count;

            if (count + longestRecord < Page && length < bytes.Length)
            {
                return bytes.AsSpan(0, length);
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "pread")]
    private static partial nint Read(int descriptor, ref byte bytes, nuint count, long offset);
}

/// <summary>Opens and reads files of /proc and /sys and tells absent from unreadable.</summary>
internal static class KernelFiles
{
    /// <summary>Operation not supported: what /proc/pressure answers when pressure is not being counted.</summary>
    private const int NotSupported = 95;

    /// <summary>No data available: what a sensor that is switched off answers, and that of an adapter without firmware.</summary>
    private const int NoData = 61;

    /// <summary>Try again: what a sensor answers whose next value is not there yet.</summary>
    private const int NotYet = 11;

    /// <summary>Invalid argument: what a thermal zone answers that is switched off.</summary>
    public const int Invalid = 22;

    /// <summary>Opens without a lock; the kernel's files know none. One that does not answer is reported by <see cref="ReadingWatch"/>.</summary>
    public static SafeFileHandle Open(string path) =>
        File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);

    /// <summary>What an exception says about the source.</summary>
    public static SourceError ErrorOf(string path, Exception error) => error switch
    {
        FileNotFoundException or DirectoryNotFoundException => SourceError.NewAbsent(path),
        IOException { HResult: NotSupported or NoData or NotYet } => SourceError.NewAbsent(path),
        UnauthorizedAccessException => SourceError.NewUnreadable(path, "permission denied"),
        _ => SourceError.NewUnreadable(path, error.Message),
    };

    /// <summary>True for what a file may do to its reader; a pipe in its place is not supported.</summary>
    public static bool IsOfTheFile(Exception error) =>
        error is IOException or UnauthorizedAccessException or NotSupportedException;

    /// <summary>The same of a file. The class library says of a directory in its place that access is denied.</summary>
    public static SourceError ErrorOfFile(string path, Exception error) =>
        error is UnauthorizedAccessException && Directory.Exists(path)
            ? SourceError.NewUnreadable(
                path, "it is a directory, and a file belongs there; Docker makes one where the source of a mount (--volume) does not exist")
            : ErrorOf(path, error);

    /// <summary>Reads a small file of /sys.</summary>
    /// <param name="path">Where it lies.</param>
    /// <param name="buffer">The reading thread's own.</param>
    /// <param name="noValue">One more error that says that there is no value now, as a number of errno(3); 0 for none.</param>
    public static SysText ReadText(string path, ReadBuffer buffer, int noValue = 0)
    {
        try
        {
            using var file = Open(path);
            ReadOnlyMemory<byte> text = buffer.ReadWhole(file).ToArray();
            return new SysText(path, FSharpResult<ReadOnlyMemory<byte>, SourceError>.NewOk(text));
        }
        catch (Exception error) when (IsOfTheFile(error))
        {
            return new SysText(path, FSharpResult<ReadOnlyMemory<byte>, SourceError>.NewError(
                noValue != 0 && error.HResult == noValue ? SourceError.NewAbsent(path) : ErrorOfFile(path, error)));
        }
    }

    /// <summary>Reads and parses a file once.</summary>
    public static FSharpResult<T, SourceError> ReadOnce<T>(string path, ReadBuffer buffer, TextParser<T> parse)
    {
        using var file = new KernelFile(path, static () => TimeSpan.Zero);
        return file.Read(buffer, parse);
    }
}

/// <summary>
/// A file of /proc that is opened once and read from its beginning at every sample. After an error it is opened again;
/// one that is absent is looked for once a minute.
/// </summary>
/// <param name="path">Where it lies.</param>
/// <param name="now">The monotonic clock.</param>
/// <param name="longestRecord">No record of the file after its first has more bytes.</param>
internal sealed class KernelFile(string path, Func<TimeSpan> now, int longestRecord = ReadBuffer.Page) : IDisposable
{
    private static readonly TimeSpan LookAgain = TimeSpan.FromMinutes(1);

    private SafeFileHandle? handle;
    private SourceError? absent;
    private TimeSpan absentSince;

    /// <summary>Where it lies.</summary>
    public string Path => path;

    /// <summary>What the file says now.</summary>
    public FSharpResult<T, SourceError> Read<T>(ReadBuffer buffer, TextParser<T> parse)
    {
        if (absent is not null && now() - absentSince < LookAgain)
        {
            return FSharpResult<T, SourceError>.NewError(absent);
        }

        try
        {
            handle ??= KernelFiles.Open(path);
            absent = null;
            var parsed = parse(buffer.ReadWhole(handle, longestRecord));

            return parsed.IsOk
                ? FSharpResult<T, SourceError>.NewOk(parsed.ResultValue)
                : FSharpResult<T, SourceError>.NewError(SourceError.NewGarbled(parsed.ErrorValue));
        }
        catch (Exception error) when (KernelFiles.IsOfTheFile(error))
        {
            Dispose();
            var reason = KernelFiles.ErrorOfFile(path, error);

            if (reason.IsAbsent)
            {
                absent = reason;
                absentSince = now();
            }

            return FSharpResult<T, SourceError>.NewError(reason);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        handle?.Dispose();
        handle = null;
    }
}
