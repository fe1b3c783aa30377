using System.Globalization;
using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Service;

/// <summary>What systemd's journal wants to know of a line.</summary>
internal static partial class Journal
{
    private const int StandardError = 2;

    /// <summary>The path is empty: the file descriptor itself is meant.</summary>
    private const int EmptyPath = 0x1000;

    private const uint Inode = 0x100;

    /// <summary>True when standard error goes to the journal: systemd names the stream's device and inode.</summary>
    public static bool HasStandardError(Func<string, string?> environment) =>
        environment("JOURNAL_STREAM") is { Length: > 0 } stream && stream == NameOf(StandardError);

    /// <summary>The priority in front of a line, as sd-daemon(3) has it.</summary>
    public static string Prefix(LogLevel level) => level switch
    {
        LogLevel.Debug => "<7>",
        LogLevel.Info => "<6>",
        LogLevel.Warning => "<4>",
        LogLevel.Error => "<3>",
        _ => "<2>",
    };

    private static string? NameOf(int descriptor)
    {
        // The layout of statx is the same on every machine, which that of fstat is not.
        Span<byte> status = stackalloc byte[256];

        try
        {
            if (Statx(descriptor, "", EmptyPath, Inode, ref MemoryMarshal.GetReference(status)) != 0)
            {
                return null;
            }
        }
        catch (EntryPointNotFoundException)
        {
            return null;
        }

        var inode = MemoryMarshal.Read<ulong>(status[32..]);
        ulong major = MemoryMarshal.Read<uint>(status[136..]);
        ulong minor = MemoryMarshal.Read<uint>(status[140..]);

        // As makedev(3) puts them together.
        var device = ((major & ~0xfffUL) << 32) | ((major & 0xfff) << 8) | ((minor & ~0xffUL) << 12) | (minor & 0xff);
        return string.Create(CultureInfo.InvariantCulture, $"{device}:{inode}");
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, ref byte status);
}
