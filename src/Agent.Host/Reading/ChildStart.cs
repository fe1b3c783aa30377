using System.ComponentModel;
using System.Diagnostics;
using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>
/// Starts other programs. They get neither the agent's secrets nor what systemd tells it, and they end when the thread
/// that started them ends, even by kill -9: that thread must live as long as they are wanted.
/// </summary>
internal static class ChildStart
{
    private const uint Root = 0;

    /// <summary>As many links the kernel follows on the way to a file: path_resolution(7).</summary>
    private const int MostLinks = 40;

    private const UnixFileMode Executable = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>PR_SET_PDEATHSIG must be set between fork and exec, which .NET cannot; setpriv of util-linux can.</summary>
    private static readonly Lazy<string?> Setpriv = new(FindSetpriv);

    /// <summary>
    /// The groups besides root's whose members may change what root starts: `staff`, whom Debian lets write to /usr/local. Its number differs
    /// from one distribution to the next, and where there is none it is another group's.
    /// </summary>
    private static readonly Lazy<uint> Staff = new(FindStaff);

    /// <summary>Where the program lies, if its name is no path already; null when it is not there or not in PATH.</summary>
    public static string? Find(string name) => name.Contains('/') ? (File.Exists(name) ? name : null) :
        (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin")
            .Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Select(directory => Path.Join(directory, name))
            .FirstOrDefault(File.Exists);

    /// <summary>
    /// What another user than root can change of all that decides which program is started: the program itself, each directory on the way to it,
    /// and each link, with the way to what it leads to. Null when there is none. As sudo and cron decide it: nothing of it may belong to another
    /// user, or be open to all or to a group; only the groups root and staff may.
    /// </summary>
    public static string? Foreign(string path)
    {
        var place = "/";
        var ahead = new Stack<string>();
        var links = 0;
        Push(ahead, Path.Join(Path.IsPathRooted(path) ? "" : Environment.CurrentDirectory, path));

        while (!IsForeign(place))
        {
            if (!ahead.TryPop(out var name))
            {
                return null;
            }

            if (name == "..")
            {
                place = Path.GetDirectoryName(place) ?? "/";
                continue;
            }

            var next = Path.Join(place, name);

            if (FileStatus.Of(next, follow: false) is not { IsLink: true } link)
            {
                place = next;
                continue;
            }

            // Whom a link belongs to matters where others may write beside it.
            if (link.Owner != Root || ++links > MostLinks || new FileInfo(next).LinkTarget is not { } target)
            {
                return next;
            }

            Push(ahead, target);
            place = Path.IsPathRooted(target) ? "/" : place;
        }

        return place;
    }

    /// <summary>Starts the program with nothing to read; absent when it is not in PATH.</summary>
    public static FSharpResult<Process, SourceError> Start(string name, IEnumerable<string> arguments)
    {
        if (Find(name) is not { } path)
        {
            return FSharpResult<Process, SourceError>.NewError(SourceError.NewAbsent(name));
        }

        if (FileStatus.CurrentUser == Root && Foreign(path) is { } foreign)
        {
            return Unreadable(name, $"{path} is not started as root, because users other than root can change {foreign}");
        }

        try
        {
            // setpriv would start and tell of this in words of its own.
            return (File.GetUnixFileMode(path) & Executable) == 0
                ? Unreadable(name, $"{path} is not executable")
                : FSharpResult<Process, SourceError>.NewOk(Start(path, arguments, Setpriv.Value));
        }
        catch (Exception error) when (error is Win32Exception or IOException or InvalidOperationException or UnauthorizedAccessException)
        {
            return Unreadable(name, error.Message);
        }
    }

    private static void Push(Stack<string> ahead, string path)
    {
        foreach (var name in path.Split('/').Reverse().Where(static name => name is not "" and not "."))
        {
            ahead.Push(name);
        }
    }

    private static bool IsForeign(string place) =>
        FileStatus.Of(place, follow: false) is { } status
        && (status.Owner != Root || status.IsOpenToAll || (status.IsOpenToGroup && status.Group != Root && status.Group != Staff.Value));

    private static Process Start(string path, IEnumerable<string> arguments, string? setpriv)
    {
        var start = setpriv is null
            ? new ProcessStartInfo(path, arguments)
            : new ProcessStartInfo(setpriv, ["--pdeathsig", "KILL", path, .. arguments]);

        start.RedirectStandardInput = true;
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;

        // Messages in English, and no secret in the environment of a program that has no use for it. What systemd tells
        // the agent is not for its children either: they must not speak to it in the agent's name.
        start.Environment["LC_ALL"] = "C";

        foreach (var variable in start.Environment.Keys.Where(IsOurs).ToArray())
        {
            start.Environment.Remove(variable);
        }

        var process = Process.Start(start)!;
        process.StandardInput.Close();
        return process;
    }

    private static uint FindStaff()
    {
        try
        {
            foreach (var line in File.ReadLines("/etc/group"))
            {
                if (line.StartsWith("staff:", StringComparison.Ordinal) && line.Split(':') is [_, _, var number, ..] && uint.TryParse(number, out var found))
                {
                    return found;
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Then there is only root's.
        }

        return Root;
    }

    private static bool IsOurs(string variable) =>
        variable.StartsWith("AI_DASHBOARD_", StringComparison.Ordinal)
        || variable is "NOTIFY_SOCKET" or "WATCHDOG_USEC" or "WATCHDOG_PID" or "CREDENTIALS_DIRECTORY";

    // The setpriv of busybox does not know the option.
    private static string? FindSetpriv()
    {
        if (Find("setpriv") is not { } setpriv
            || Find("true") is not { } nothing
            || (FileStatus.CurrentUser == Root && (Foreign(setpriv) ?? Foreign(nothing)) is not null))
        {
            return null;
        }

        try
        {
            using var trial = Start(nothing, [], setpriv);

            if (trial.WaitForExit(TimeSpan.FromSeconds(2)))
            {
                return trial.ExitCode == 0 ? setpriv : null;
            }

            trial.Kill();
            return null;
        }
        catch (Exception error) when (error is Win32Exception or IOException or InvalidOperationException)
        {
            return null;
        }
    }

    private static FSharpResult<Process, SourceError> Unreadable(string name, string reason) =>
        FSharpResult<Process, SourceError>.NewError(SourceError.NewUnreadable(name, reason));
}
