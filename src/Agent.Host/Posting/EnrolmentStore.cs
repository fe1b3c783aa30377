using System.Text;
using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>
/// Keeps what a machine receives when it enrols: the token in a file of its own and, written after it, the file that says that the machine is enrolled.
/// </summary>
/// <param name="target">Where it enrols, and the directory that keeps the files.</param>
/// <param name="settings">The user's choices, of which it makes those of an enrolled machine.</param>
internal sealed class EnrolmentStore(EnrolmentTarget target, Settings settings)
{
    private const string PlaceName = "enrolment.v1";
    private const string TokenName = "enrolment.token";

    /// <summary>No such file is longer; something else in its place may be.</summary>
    private const int Longest = 64 * 1024;

    private readonly string place = Path.Join(target.Directory, PlaceName);
    private readonly string tokenFile = Path.Join(target.Directory, TokenName);

    /// <summary>The settings of a machine that enrolled in an earlier run; null if it did not, or not at this receiver.</summary>
    /// <param name="complain">Takes a sentence when the files cannot be read.</param>
    public Settings? Kept(Action<string> complain)
    {
        try
        {
            if (!File.Exists(place) || !File.Exists(tokenFile))
            {
                return null;
            }

            using var stream = PrivateFiles.Open(place, FileMode.Open, FileAccess.Read);
            var text = new byte[Longest];
            var length = stream.ReadAtLeast(text, text.Length, throwOnEndOfStream: false);

            return Enrolment.Decode(target.Host, Machine(), text.AsMemory(0, length)).Match(
                enrolled => enrolled.IsSome ? As(enrolled.Value) : null,
                ofAnother =>
                {
                    complain($"enrolment: {ofAnother}");
                    return (Settings?)null;
                });
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            complain($"enrolment: {error.Message}");
            return null;
        }
    }

    /// <summary>Keeps what was granted, and makes settings of it.</summary>
    /// <exception cref="IOException">The files cannot be written; nothing was kept.</exception>
    /// <exception cref="UnauthorizedAccessException">The same, for want of a permission.</exception>
    public Settings Keep(Enrolled enrolled, Secret token)
    {
        Prepare();
        Replace(tokenFile, Encoding.UTF8.GetBytes(token.Reveal()));
        Replace(place, Enrolment.Encode(target.Host, Machine(), enrolled));
        _ = PrivateFiles.Sync(target.Directory);
        return As(enrolled);
    }

    /// <summary>Creates the directory where it is missing, before anything is asked that could not be kept.</summary>
    /// <exception cref="IOException">It cannot be created, or is not the user's own.</exception>
    /// <exception cref="UnauthorizedAccessException">The same, for want of a permission.</exception>
    public void Prepare()
    {
        PrivateFiles.MakeDirectory(target.Directory);
        PrivateFiles.CheckDirectory(target.Directory);
    }

    /// <summary>The machine that enrols, by machine-id(5) and its host name.</summary>
    public EnrolledMachine Machine() =>
        new(MachineId(settings), settings.Hostname.Length > 0 ? settings.Hostname : Environment.MachineName);

    /// <summary>This application's id of the machine, from machine-id(5); empty where there is none, as in many containers.</summary>
    public static string MachineId(Settings settings) =>
        UserFile.Read(Path.Join(settings.RootFs, "etc", "machine-id")).Match(Enrolment.MachineIdOf, static _ => "");

    private Settings As(Enrolled enrolled) =>
        SettingsModule.EnrolledAs(enrolled.Slug, TokenOrigin.NewFile(tokenFile, "the token from enrolment"), enrolled.Labels, settings);

    /// <summary>Whole or not at all, whenever the power fails.</summary>
    private static void Replace(string path, byte[] content)
    {
        var partial = path + ".partial";
        File.Delete(partial);

        using (var file = PrivateFiles.Open(partial, FileMode.CreateNew, FileAccess.Write))
        {
            file.Write(content);
            file.Flush(flushToDisk: true);
        }

        File.Move(partial, path, overwrite: true);
    }
}
