using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// The database's tables, version after version: the files Migrations/NNN.sql, each of which leads from the version before it to its own.
/// One that was ever released is never edited: a new one follows. A new figure of machines needs none, since each is a column.
/// </summary>
internal static class Migrations
{
    /// <summary>"aida" in ASCII, by which a file is known as ours.</summary>
    public const int ApplicationId = 0x61696461;

    /// <summary>What is kept apart of samples and minutes; the last column, since the charts that everybody sees do without.</summary>
    private const string DetailsColumn = "details";

    private static readonly string[] WithDetails = ["sample", "minute"];

    /// <summary>The statements that lead from each version to the next; the first ones lead from an empty file to version 1.</summary>
    public static readonly string[] Steps = [.. Enumerable.Range(1, 7).Select(Read)];

    /// <summary>
    /// Adds a column for each figure of machines that is kept and has none, and one for details, and shows them all as plain numbers in the view
    /// readable_sample. Within a transaction.
    /// </summary>
    public static void AddColumns(SqliteConnection connection)
    {
        var known = ColumnsOf(connection, "sample");

        foreach (var (name, type) in Packing.decimalColumns.Select(static name => (name, "ANY"))
            .Concat(Packing.wholeColumns.Select(static name => (name, "INTEGER"))))
        {
            if (!known.Contains(name))
            {
                Database.Execute(connection, $"ALTER TABLE sample ADD COLUMN {name} {type}");
            }
        }

        foreach (var table in WithDetails)
        {
            if (!ColumnsOf(connection, table).Contains(DetailsColumn))
            {
                Database.Execute(connection, $"ALTER TABLE {table} ADD COLUMN {DetailsColumn} BLOB");
            }
        }

        Database.Execute(connection, $"DROP VIEW IF EXISTS readable_sample; {View()}");
    }

    /// <summary>Whether a database has the tables of this version.</summary>
    public static bool IsCurrent(SqliteConnection connection) =>
        Database.Scalar(connection, "PRAGMA user_version") == Steps.Length && HasAllColumns(connection);

    /// <summary>Whether each figure of machines has its column.</summary>
    public static bool HasAllColumns(SqliteConnection connection)
    {
        var known = ColumnsOf(connection, "readable_sample");
        return Packing.decimalColumns.Concat(Packing.wholeColumns).All(known.Contains)
            && WithDetails.All(table => ColumnsOf(connection, table).Contains(DetailsColumn));
    }

    private static string Read(int version)
    {
        using var stream = typeof(Migrations).Assembly.GetManifestResourceStream($"{version:000}.sql")
            ?? throw new InvalidOperationException($"The program was built without version {version} of the database.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    private static HashSet<string> ColumnsOf(SqliteConnection connection, string table)
    {
        using var columns = new Statement(connection, "SELECT name FROM pragma_table_info(?1)");
        columns.Bind(1, table);
        var names = new HashSet<string>(StringComparer.Ordinal);

        while (columns.Step())
        {
            names.Add(columns.Text(0));
        }

        return names;
    }

    private static string View()
    {
        // A whole number in a column of decimals counts steps of the figure's scale, which therefore never changes.
        var decimals = string.Concat(SchemaModule.machine.Decimals.Select(static column =>
            $",\n  CASE typeof({column.Item1}) WHEN 'integer' THEN {column.Item1} / {column.Item2}.0 ELSE {column.Item1} END AS {column.Item1}"));
        var wholes = string.Concat(Packing.wholeColumns.Select(static name => $",\n  {name}"));

        return $"""
            CREATE VIEW readable_sample AS SELECT
              (SELECT slug FROM server WHERE id = key >> 51) AS server,
              strftime('%Y-%m-%dT%H:%M:%fZ', 946684800 + (key & 2251799813685247) / 1000000.0, 'unixepoch') AS collected_at,
              delay_ms,
              bottleneck{decimals}{wholes}
            FROM sample;
            """;
    }
}
