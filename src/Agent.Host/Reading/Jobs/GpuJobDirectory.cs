using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Core.Jobs;
using Agent.Sender;
using Agent.Shell;
using Microsoft.FSharp.Core;
using Microsoft.Win32.SafeHandles;

namespace Agent.Host.Reading.Jobs;

/// <summary>
/// The directory in which a scheduler says which jobs run on which GPU, as <see cref="GpuJobFiles"/> reads it. Others write there, so nothing in it is
/// relied on: of a file a few kilobytes are read, what is no ordinary file is passed over, and one that is gone by then is none.
/// </summary>
/// <param name="directory">Where it is.</param>
internal sealed partial class GpuJobDirectory(string directory)
{
    /// <summary>So many files count; a machine has at most a few dozen GPUs and MIG instances.</summary>
    public const int MostFiles = 256;

    /// <summary>So many names are looked at.</summary>
    private const int MostNames = 4096;

    /// <summary>So many faults are told.</summary>
    private const int MostFaults = 8;

    /// <summary>O_RDONLY, O_CLOEXEC and O_NONBLOCK; O_NOFOLLOW, which ARM has elsewhere.</summary>
    private const int ReadOnly = 0x80800;
    private const int NoFollow = 0x20000;
    private const int NoFollowOfArm = 0x8000;

    private const int NotPermitted = 1;
    private const int NotThere = 2;
    private const int Denied = 13;
    private const int ALink = 40;

    private readonly byte[] buffer = new byte[GpuJobFiles.LongestFile + 1];

    /// <summary>All files, and what could not be read.</summary>
    public FaultyReading<GpuJobFile[]> Read()
    {
        var files = new List<GpuJobFile>();
        var faults = new List<SourceError>();

        try
        {
            foreach (var name in Names())
            {
                Add(name, files, faults);
            }
        }
        catch (Exception error) when (KernelFiles.IsOfTheFile(error))
        {
            faults.Add(SourceError.NewUnreadable(directory, error is DirectoryNotFoundException
                ? "there is no such directory; until there is, metrics have no hpc_job"
                : error is UnauthorizedAccessException ? "permission denied; let the agent's user list it and read its files" : error.Message));
        }

        return new([.. files], faults.Count > MostFaults ? [.. faults.GetRange(0, MostFaults)] : [.. faults]);
    }

    private List<string> Names()
    {
        var names = new List<string>();
        var seen = 0;

        foreach (var path in Directory.EnumerateFiles(directory))
        {
            if (Path.GetFileName(path) is var name && GpuJobFiles.Named(name).IsSome)
            {
                names.Add(name);
            }

            if (++seen == MostNames || names.Count == MostFiles)
            {
                break;
            }
        }

        return names;
    }

    private void Add(string name, List<GpuJobFile> files, List<SourceError> faults)
    {
        var path = Path.Join(directory, name);

        try
        {
            // To open a pipe would be to wait for whoever writes into it; and what a link names, only its writer may be allowed to read.
            if (FileStatus.Of(path, follow: false) is not { IsRegular: true })
            {
                return;
            }

            using var file = Open(path);

            if (FileStatus.Of(file) is not { IsRegular: true })
            {
                return;
            }

            var length = 0;

            while (length < buffer.Length && RandomAccess.Read(file, buffer.AsSpan(length), length) is var count and > 0)
            {
                length += count;
            }

            var parsed = GpuJobFiles.Parse(path, GpuJobFiles.Named(name).Value, buffer.AsSpan(0, length));
            files.Add(parsed.Value);

            foreach (var fault in parsed.Faults)
            {
                faults.Add(SourceError.NewGarbled(fault));
            }
        }
        catch (Exception error) when (KernelFiles.IsOfTheFile(error))
        {
            var reason = KernelFiles.ErrorOf(path, error);

            if (!reason.IsAbsent)
            {
                faults.Add(reason);
            }
        }
    }

    /// <summary>Opens what stands there itself, without waiting, whatever it has become since it was looked at.</summary>
    private static SafeFileHandle Open(string path)
    {
        var descriptor = Open(path, ReadOnly | (IsArm ? NoFollowOfArm : NoFollow));

        return descriptor >= 0
            ? new SafeFileHandle(descriptor, ownsHandle: true)
            : throw Marshal.GetLastPInvokeError() switch
            {
                NotThere or ALink => new FileNotFoundException(),
                Denied or NotPermitted => new UnauthorizedAccessException(),
                var error => new IOException(Marshal.GetPInvokeErrorMessage(error)),
            };
    }

    private static bool IsArm => RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);
}
