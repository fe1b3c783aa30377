using Agent.Receiver;

namespace Agent.Dashboard.State;

/// <summary>
/// The tables of the state, version after version: the files Migrations/postgres-NNN.sql, each of which leads from the version before it to its own. One that was
/// ever released is never edited: a new one follows.
/// </summary>
internal static class PostgresMigrations
{
    /// <summary>"aida" in ASCII: the lock that dashboards take which start at the same time.</summary>
    private const long LockNumber = 0x61696461;

    /// <summary>The statements that lead from each version to the next.</summary>
    private static readonly string[] Steps = [.. Enumerable.Range(1, 1).Select(Read)];

    /// <summary>Brings the tables up to date; null, or why this program does not touch the database.</summary>
    public static string? Apply(PostgresConnection connection, StateAddress address) => Apply(connection, address, Steps);

    /// <summary>The same with other steps, for tests.</summary>
    internal static string? Apply(PostgresConnection connection, StateAddress address, string[] steps) => connection.Apart(() =>
    {
        connection.Execute($"SELECT pg_advisory_xact_lock({LockNumber})");
        var isOurs = connection.Scalar("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'ai_dashboard_version'") > 0;

        if (!isOurs)
        {
            if (connection.Scalar("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()") > 0)
            {
                return $"--state: the database \"{address.Database}\" has tables of another program; make a database of its own with createdb";
            }

            connection.Execute("CREATE TABLE ai_dashboard_version (version bigint NOT NULL); INSERT INTO ai_dashboard_version VALUES (0)");
        }

        var version = connection.Scalar("SELECT version FROM ai_dashboard_version");

        if (version > steps.Length)
        {
            return $"--state: the database \"{address.Database}\" was written by a newer {DashboardCli.ProgramName} (format {version}, this one knows {steps.Length}); use that one";
        }

        for (var step = version; step < steps.Length; step++)
        {
            connection.Execute(steps[step]);
        }

        if (version < steps.Length)
        {
            connection.Execute($"UPDATE ai_dashboard_version SET version = {steps.Length}");
        }

        return null;
    });

    private static string Read(int version)
    {
        using var stream = typeof(PostgresMigrations).Assembly.GetManifestResourceStream($"postgres-{version:000}.sql")
            ?? throw new InvalidOperationException($"The program was built without version {version} of the state.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
