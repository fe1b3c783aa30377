using System.Runtime.InteropServices;

namespace Agent.Dashboard.Web;

/// <summary>Small text files that only their owner may read, replaced as a whole.</summary>
internal static partial class PrivateText
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private const UnixFileMode Others = UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.GroupWrite;

    /// <summary>Says that others can read or change a file.</summary>
    /// <param name="named">What named the file, such as an option.</param>
    /// <param name="path">The file, which is there.</param>
    /// <param name="complain">Takes the sentence.</param>
    public static void WarnOfReaders(string named, string path, Action<string> complain)
    {
        if ((File.GetUnixFileMode(path) & Others) != 0)
        {
            complain($"{named}: \"{path}\" can be read or changed by other users of this machine; use chmod 600");
        }
    }

    /// <summary>
    /// Writes a file: under its name there is the old text or the new one, never a part. Written as root it belongs to whoever the old
    /// one belonged to, or else the directory, so that a service with a user of its own can read it.
    /// </summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The permission is missing.</exception>
    public static void Write(string path, string text)
    {
        // A link stays one: what it leads to is replaced.
        var target = new FileInfo(path).LinkTarget is null
            ? Path.GetFullPath(path)
            : File.ResolveLinkTarget(path, returnFinalTarget: true)!.FullName;
        var partial = target + ".partial";
        File.Delete(partial);

        try
        {
            using (var file = new FileStream(partial, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                UnixCreateMode = OwnerOnly,
            }))
            {
                file.Write(System.Text.Encoding.UTF8.GetBytes(text));
                file.Flush(flushToDisk: true);
            }

            if (FileStatus.CurrentUser == 0
                && (FileStatus.Of(target) ?? FileStatus.Of(Path.GetDirectoryName(target) ?? "/")) is { Owner: not 0 } model)
            {
                // Without success root alone can read it, and the service says so.
                _ = ChangeOwner(partial, model.Owner, uint.MaxValue);
            }

            File.Move(partial, target, overwrite: true);
            PrivateFiles.Sync(Path.GetDirectoryName(target) ?? "/");
        }
        finally
        {
            File.Delete(partial);
        }
    }

    /// <summary>chown(2); the largest number leaves the group as it is.</summary>
    [LibraryImport("libc", EntryPoint = "chown", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChangeOwner(string path, uint owner, uint group);
}
