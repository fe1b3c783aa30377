using System.Globalization;
using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>The commands about tokens of scripts. A dashboard that serves takes a new one at once, and ends a removed one within two seconds.</summary>
internal sealed class TokensCommand(AgentClock clock, CommandLineProgram program)
{
    /// <summary>Runs the command; the exit code.</summary>
    public int Run(CredentialSettings settings)
    {
        return CredentialStores.With<AccessToken>(
            settings, Setting.Tokens, Credentials.Tokens, Credentials.TokensText, clock, program, (file, place) => settings.Action.Match(
                (name, role) => Add(file, name, role).Match(text => program.Print(text, Untold(name)), program.Fail),
                name => Remove(file, place, name).Match(Print, program.Fail),
                () => file.Read().Select(tokens => List(tokens, place)).Match(Print, program.Fail)));

        int Print(string text) => program.Print(text);
    }

    private FSharpResult<string, string> Add(ICredentialStore<AccessToken> file, string name, Role role)
    {
        var token = Registrations.NewToken();
        var added = new AccessToken(name, role, DateOnly.FromDateTime(clock.GetUtcNow().UtcDateTime), Registrations.Hash(token));

        return file
            .Change(tokens =>
                tokens.Any(other => other.Name == name)
                    ? Error($"there is already a token \"{name}\"; remove it first with tokens remove {name}")
                    : tokens.Length >= Credentials.MostEntries
                        ? Error($"there are {tokens.Length} tokens, which is the maximum")
                        : FSharpResult<AccessToken[], string>.NewOk([.. tokens, added]))
            .Select(_ =>
                $"""
                Added {name}, {Credentials.RoleName(role)}.
                API_TOKEN={token}

                The token is shown only once. Send it as a header: Authorization: Bearer TOKEN

                """);
    }

    private static FSharpResult<string, string> Remove(ICredentialStore<AccessToken> file, string path, string name) =>
        file
            .Change(tokens => tokens.Any(token => token.Name == name)
                ? FSharpResult<AccessToken[], string>.NewOk([.. tokens.Where(token => token.Name != name)])
                : Error($"there is no token \"{name}\" in \"{path}\"; tokens list lists them all"))
            .Select(_ => $"Removed {name}.\n");

    private static string Untold(string name) =>
        $"{name} was added, but the token could not be printed; tokens remove {name}, then tokens add {name} makes a new one";

    private string List(AccessToken[] tokens, string path)
    {
        if (tokens.Length == 0)
        {
            program.Complain($"there are no tokens in \"{path}\"; tokens add NAME makes one");
        }

        return string.Concat(tokens
            .OrderBy(static token => token.Name, StringComparer.Ordinal)
            .Select(static token =>
                $"{token.Created.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)} {Credentials.RoleName(token.Role),-8} {token.Name}\n"));
    }

    private static FSharpResult<AccessToken[], string> Error(string sentence) => FSharpResult<AccessToken[], string>.NewError(sentence);
}
