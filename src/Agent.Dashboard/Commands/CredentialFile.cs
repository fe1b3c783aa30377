using System.Text;
using Agent.Receiver;
using Agent.Dashboard.Web;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>A file of users or of tokens, as the commands change it: by one process at a time, and as a whole.</summary>
internal sealed class CredentialFile<T>(
    string path, Func<string, FSharpResult<T[], string>> parse, Func<IEnumerable<T>, string> text, AgentClock clock)
    : ICredentialStore<T>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    /// <summary>The entries; none where there is no file. The error is a sentence.</summary>
    public FSharpResult<T[], string> Read()
    {
        try
        {
            if (!File.Exists(path))
            {
                return FSharpResult<T[], string>.NewOk([]);
            }

            return new FileInfo(path).Length > Credentials.LongestFile
                ? Error($"\"{path}\" is larger than {Credentials.LongestFile} bytes")
                : parse(File.ReadAllText(path, Encoding.UTF8)).SelectError(problem => $"\"{path}\": {problem}");
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return Error($"\"{path}\" cannot be read: {FaultReason.Of(unreadable)}");
        }
    }

    /// <summary>Writes what becomes of the entries; the change may refuse with a sentence. What is returned is what was read before.</summary>
    public FSharpResult<T[], string> Change(Func<T[], FSharpResult<T[], string>> change)
    {
        try
        {
            using var held = Lock();

            if (held is null)
            {
                return Error($"another command has held \"{path}.lock\" for {Patience.TotalSeconds} s");
            }

            return
                from before in Read()
                from after in change(before)
                select Write(before, after);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Error($"\"{path}\" cannot be written: {FaultReason.Of(failure)}");
        }
    }

    private T[] Write(T[] before, T[] after)
    {
        PrivateText.Write(path, text(after));
        return before;
    }

    private FileStream? Lock()
    {
        var start = clock.GetTimestamp();
        var gate = new object();

        while (true)
        {
            if (PrivateFiles.TryLock(path + ".lock") is { } held)
            {
                return held;
            }

            if (clock.GetElapsedTime(start) > Patience)
            {
                return null;
            }

            lock (gate)
            {
                clock.Wait(gate, Pause);
            }
        }
    }

    private static FSharpResult<T[], string> Error(string sentence) => FSharpResult<T[], string>.NewError(sentence);
}
