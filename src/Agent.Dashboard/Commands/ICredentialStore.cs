using Agent.Dashboard.Store;
using Agent.Receiver;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>Users or tokens, as the commands change them: a file, or what several dashboards share.</summary>
internal interface ICredentialStore<T>
{
    /// <summary>The entries; none where there are none yet. The error is a sentence.</summary>
    FSharpResult<T[], string> Read();

    /// <summary>Writes what becomes of the entries; the change may refuse with a sentence. What is returned is what was read before.</summary>
    FSharpResult<T[], string> Change(Func<T[], FSharpResult<T[], string>> change);
}

/// <summary>Where a command's users or tokens are.</summary>
internal static class CredentialStores
{
    /// <summary>Runs a command on them: it is given where they are, and what that is called; the exit code.</summary>
    public static int With<T>(
        CredentialSettings settings,
        string setting,
        Func<string, FSharpResult<T[], string>> parse,
        Func<IEnumerable<T>, string> text,
        AgentClock clock,
        CommandLineProgram program,
        Func<ICredentialStore<T>, string, int> work) =>
        settings.State is { IsSome: true, Value: var state }
            ? CommandRun.On(
                state,
                connection => work(new SharedStore<T>(connection, setting, parse, text, clock), state.Address.Url),
                program)
            : work(new CredentialFile<T>(settings.File, parse, text, clock), settings.File);

    /// <summary>In the state, as the text that a file would have.</summary>
    private sealed class SharedStore<T>(
        StateConnection connection,
        string setting,
        Func<string, FSharpResult<T[], string>> parse,
        Func<IEnumerable<T>, string> text,
        AgentClock clock) : ICredentialStore<T>
    {
        public FSharpResult<T[], string> Read() =>
            parse(Setting.Read(connection, setting)).SelectError(static problem => $"what the state has: {problem}");

        public FSharpResult<T[], string> Change(Func<T[], FSharpResult<T[], string>> change) => connection.Transact(clock, () =>
            from before in Read()
            from after in change(before)
            select Write(before, after));

        private T[] Write(T[] before, T[] after)
        {
            Setting.Write(connection, setting, text(after));
            return before;
        }
    }
}
