using System.Globalization;
using Agent.Receiver;
using Agent.Dashboard.Store;
using Agent.Dashboard.Web;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>The commands about enrolment keys. They work while a dashboard serves, and hold for it at once.</summary>
internal sealed class EnrolKeysCommand(AgentClock clock, CommandLineProgram program)
{
    private const int MostKeys = 500;

    /// <summary>No file of a key is longer, in bytes.</summary>
    private const int LongestKey = 4096;

    /// <summary>Runs the command; the exit code.</summary>
    public int Run(EnrolKeySettings settings) => settings.Action.Match(
        (name, labels, expires, file) => With(
            settings.State,
            () => Database.OpenForWriting(settings.Database, clock),
            connection => file.Length > 0 && File.Exists(file)
                ? Keep(connection, name, file)
                : Add(connection, settings.Database, name, labels, expires, file)),
        name => With(settings.State, () => Database.OpenExisting(settings.Database, clock), connection => Remove(connection, name)),
        () => With(settings.State, () => Database.OpenExisting(settings.Database, clock), List));

    /// <summary>What is there already stays, so that a setup may run again.</summary>
    private int Keep(StateConnection connection, string name, string file) =>
        new FileInfo(file).Length <= LongestKey
        && EnrolKeys.Find(connection, Registrations.Hash(File.ReadAllText(file).Trim())) is { } kept && kept.Name == name
            ? program.Print($"{name} exists already, and its key is in \"{file}\"; {Expires(kept)}.\n")
            : program.Fail($"--key-file: \"{file}\" exists already, and does not contain the key \"{name}\" of this database; remove it, or name another file");

    private int Add(
        StateConnection connection, string database, string name, (string, string)[] labels, Expiry expires, string file)
    {
        var key = Registrations.NewToken();
        var now = clock.GetUtcNow();
        var added = new EnrolKey(name, Registrations.Hash(key), labels, now, expires.Of(now));

        var problem = connection.Transact(clock, () =>
            EnrolKeys.All(connection).Count >= MostKeys ? $"there are {MostKeys} keys, which is the maximum; enrol-keys remove makes room"
            : EnrolKeys.Add(connection, added) ? ""
            : $"there is already a key \"{name}\"; remove it first with enrol-keys remove {name}");

        if (problem.Length > 0)
        {
            return program.Fail(problem);
        }

        if (file.Length > 0)
        {
            try
            {
                PrivateText.Write(file, key + "\n");
                return program.Print($"Added {name}, with its key in \"{file}\"; {Expires(added)}.\n");
            }
            catch (Exception unwritten) when (unwritten is IOException or UnauthorizedAccessException)
            {
                // Nobody would ever know the key.
                connection.Transact(clock, () => EnrolKeys.Remove(connection, name));
                return program.Fail($"--key-file: \"{file}\" cannot be written, {FaultReason.Of(unwritten)}; name a file in a directory of this user");
            }
        }

        var address = Registering.Address(
            (connection.HasSamples ? DatabaseLock.HolderOf(database)?.Address : null) ?? "", Setting.Read(connection, Setting.Listen), Environment.MachineName);

        return program.Print(
            $"""
            Added {name}; {Expires(added)}.
            ENROL_KEY={key}

            The key is shown only once. On each machine, write it into a file that only the agent's user can read, and start the agent:

              (umask 077; echo "$ENROL_KEY" > enrol-key)
              ai-dashboard-agent --host {address} --enrol-key-file enrol-key --spool DIRECTORY

            """,
            $"{name} is added, but the key could not be printed; remove it with enrol-keys remove {name} and add it again");
    }

    private int Remove(StateConnection connection, string name) =>
        connection.Transact(clock, () => EnrolKeys.Remove(connection, name))
            ? program.Print($"Removed {name}; the machines that enrolled with it keep their tokens.\n")
            : program.Fail($"there is no key \"{name}\"; enrol-keys list lists them all");

    private int List(StateConnection connection)
    {
        var keys = EnrolKeys.All(connection);

        if (keys.Count == 0)
        {
            program.Complain("there are no enrolment keys; enrol-keys add NAME makes one");
        }

        return program.Print(string.Concat(keys.Select(one => Line(one.Key, one.Servers))));
    }

    private string Line(EnrolKey key, int servers)
    {
        var labels = string.Join(',', key.Labels.Select(static label => $"{label.Item1}={label.Item2}"));
        return $"{key.Name,-24} {servers,5} enrolled   {Expires(key)}{(labels.Length > 0 ? $"   {labels}" : "")}\n";
    }

    private string Expires(EnrolKey key) =>
        key.ExpiresAt.IsNone ? "never expires"
        : $"{(key.IsValid(clock.GetUtcNow()) ? "expires" : "EXPIRED")} {key.ExpiresAt.Value.UtcDateTime.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture)} UTC";

    private int With(
        FSharpValueOption<StateSettings> state, Func<FSharpResult<SqliteConnection, Unopened>> database, Func<StateConnection, int> work) =>
        CommandRun.With(state, database, work, program);
}
