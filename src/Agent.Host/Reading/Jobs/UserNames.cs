using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Core.Jobs;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading.Jobs;

/// <summary>
/// The names of users: by the machine's own file, and where that does not know them by its name services, which may ask another machine. One that
/// does not answer costs the name and nothing else.
/// </summary>
/// <param name="rootfs">Where the machine's files are.</param>
/// <param name="clock">The monotonic clock.</param>
/// <param name="files">Who reads.</param>
internal sealed unsafe partial class UserNames(string rootfs, AgentClock clock, SmallFiles files)
{
    private static readonly TimeSpan ReadAgain = TimeSpan.FromMinutes(10);

    private const int LongestEntry = 4096;

    // It asks what may hang, each question on a thread with a limit of its own; what it asks here is no mount.
    private readonly MountProbes<string> services = new(clock, Ask);
    private readonly Dictionary<long, string> names = [];
    private TimeSpan? readAt;

    /// <summary>The name; empty when nobody knows it.</summary>
    public string Of(long uid)
    {
        if (readAt is null || clock.Elapsed - readAt > ReadAgain)
        {
            readAt = clock.Elapsed;
            names.Clear();
        }

        if (!names.TryGetValue(uid, out var name))
        {
            name = files.Read(Path.Join(rootfs, "etc/passwd"), Users.Parse)
                .Match(read => Users.NameOf(read.Value, uid), static _ => "");

            // The library of this program knows the users of this root, and of no other.
            if (name.Length == 0 && rootfs == "/")
            {
                name = services.Ask([uid.ToString(System.Globalization.CultureInfo.InvariantCulture)])[0]
                    .Match(static found => found, static _ => "");
            }

            names[uid] = name;
        }

        return name;
    }

    private static FSharpResult<string, SourceError> Ask(string uid)
    {
        // struct passwd begins with the name; the rest of it is smaller than this.
        var entry = stackalloc nint[16];
        var text = stackalloc byte[LongestEntry];
        nint found = 0;

        var name = GetUser(uint.Parse(uid, System.Globalization.CultureInfo.InvariantCulture), entry, text, LongestEntry, &found) == 0 && found != 0
            ? Marshal.PtrToStringUTF8(entry[0])
            : null;

        return FSharpResult<string, SourceError>.NewOk(name ?? "");
    }

    [LibraryImport("libc", EntryPoint = "getpwuid_r")]
    private static partial int GetUser(uint uid, nint* entry, byte* text, nuint length, nint* found);
}
