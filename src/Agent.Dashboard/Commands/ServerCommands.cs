using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>The commands about servers. They work while a dashboard serves.</summary>
internal sealed class ServerCommands(AgentClock clock, CommandLineProgram program)
{
    /// <summary>register-server</summary>
    public int Register(RegisterSettings settings) =>
        With(settings.State, () => Database.OpenForWriting(settings.Database, clock), connection =>
        {
            var (text, otherwise, isGood) = connection.Transact(clock, () => Register(connection, settings));
            return isGood ? program.Print(text, otherwise) : program.Fail(text);
        });

    /// <summary>list-servers</summary>
    public int List(string database, FSharpValueOption<StateSettings> state) =>
        With(state, () => Database.OpenExisting(database, clock), connection =>
        {
            var servers = Registrations.All(connection);

            if (servers.Count == 0)
            {
                program.Complain("no server is registered; register-server SLUG adds one");
            }

            var keepsSamples = Registrations.KeepsSamples(connection);
            return program.Print(string.Concat(servers
                .OrderBy(static server => server.Registration.Slug, StringComparer.Ordinal)
                .Select(server =>
                    Responses.Line(keepsSamples, server.Registration, Registrations.LastSample(connection, server.Registration.Id)) + "\n")));
        });

    /// <summary>remove-server</summary>
    public int Remove(string database, FSharpValueOption<StateSettings> state, string slug, bool isConfirmed) =>
        With(state, () => Database.OpenExisting(database, clock), connection =>
        {
            if (Registrations.Find(connection, slug) is not { } known)
            {
                return NotThere(slug);
            }

            var keepsSamples = Registrations.KeepsSamples(connection);
            var question = keepsSamples
                ? $"Remove {slug} and its {Registrations.Samples(connection, known.Id)} samples for good?"
                : $"Remove {slug} for good?";

            if (new Confirmation(program).Refusal(isConfirmed, question) is { } refusal)
            {
                return refusal;
            }

            var isRemoved = connection.Transact(clock, () =>
            {
                if (Registrations.Find(connection, slug)?.Id != known.Id)
                {
                    return false;
                }

                Registrations.Remove(connection, known.Id);
                return true;
            });

            return !isRemoved ? NotThere(slug)
                : keepsSamples ? program.Print($"Removed {slug} and its samples.\n")
                : program.Print($"Removed {slug}. Its samples stay in the cluster, and it is registered anew if more come.\n");
        });

    private int NotThere(string slug) => program.Fail($"there is no server \"{slug}\"; list-servers lists them all");

    private (string Text, string Otherwise, bool IsGood) Register(StateConnection connection, RegisterSettings settings)
    {
        var known = Registrations.Find(connection, settings.Slug);

        if ((known?.Id ?? Registrations.FreeId(connection)) is not { } id)
        {
            return (
                $"{RegistrationModule.MostServers} servers are registered, which is the maximum; remove-server makes room",
                "",
                false);
        }

        var token = known is null || settings.RotateToken ? Registrations.NewToken() : "";
        var changed = Registering.Change(
            settings,
            Maybe.Of(known),
            id,
            token.Length > 0 ? Registrations.Hash(token) : known!.TokenHash,
            clock.GetUtcNow());
        Registrations.Save(connection, changed);
        var holder = connection.HasSamples ? DatabaseLock.HolderOf(settings.Database) : null;
        var listen = holder is { Address.Length: > 0 } ? holder.Address : Setting.Read(connection, Setting.Listen);
        return (
            Registering.Told(changed, known is null, token, listen, holder is not null || !connection.HasSamples, Environment.MachineName),
            token.Length > 0 ? Registering.Untold(changed) : "",
            true);
    }

    private int With(
        FSharpValueOption<StateSettings> state, Func<FSharpResult<SqliteConnection, Unopened>> database, Func<StateConnection, int> work) =>
        CommandRun.With(state, database, work, program);
}
