using Agent.Core.Dashboard;

namespace Agent.Dashboard.Store;

/// <summary>The database's tables, version after version. A version that was ever released is never edited: a new one follows.</summary>
internal static class Migrations
{
    /// <summary>"aida" in ASCII, by which a file is known as ours.</summary>
    public const int ApplicationId = 0x61696461;

    /// <summary>The statements that lead from each version to the next; the first ones lead from an empty file to version 1.</summary>
    public static readonly string[] Steps = [First()];

    private static string First()
    {
        var decimals = string.Concat(Packing.decimalColumns.Select(static name => $",\n  {name} ANY"));
        var wholes = string.Concat(Packing.wholeColumns.Select(static name => $",\n  {name} INTEGER"));
        var readable = string.Concat(SchemaModule.machine.Decimals.Select(static column =>
            $",\n  CASE typeof({column.Item1}) WHEN 'integer' THEN {column.Item1} / {column.Item2}.0 ELSE {column.Item1} END AS {column.Item1}"));
        var asTheyAre = string.Concat(Packing.wholeColumns.Select(static name => $",\n  {name}"));

        return $"""
            CREATE TABLE server (
              id INTEGER PRIMARY KEY,
              slug TEXT NOT NULL UNIQUE,
              name TEXT NOT NULL,
              hostname TEXT NOT NULL,
              description TEXT NOT NULL,
              is_active INTEGER NOT NULL,
              created_at INTEGER NOT NULL,
              token_sha256 BLOB NOT NULL,
              agent TEXT NOT NULL DEFAULT '',
              pruned_until INTEGER NOT NULL DEFAULT 0
            ) STRICT;
            CREATE TABLE layout (
              id INTEGER PRIMARY KEY,
              content TEXT NOT NULL UNIQUE
            ) STRICT;
            CREATE TABLE sample (
              key INTEGER PRIMARY KEY,
              layout INTEGER NOT NULL,
              delay_ms INTEGER NOT NULL,
              bottleneck INTEGER NOT NULL{decimals}{wholes},
              disks BLOB,
              gpus BLOB,
              fans BLOB
            ) STRICT;
            CREATE TABLE minute (
              key INTEGER PRIMARY KEY,
              layout INTEGER NOT NULL,
              samples INTEGER NOT NULL,
              figures BLOB NOT NULL
            ) STRICT;
            CREATE TABLE dirty_minute (
              key INTEGER PRIMARY KEY
            ) STRICT;
            CREATE TABLE setting (
              name TEXT PRIMARY KEY,
              value TEXT NOT NULL
            ) STRICT, WITHOUT ROWID;
            CREATE VIEW readable_sample AS SELECT
              (SELECT slug FROM server WHERE id = key >> 51) AS server,
              strftime('%Y-%m-%dT%H:%M:%fZ', 946684800 + (key & 2251799813685247) / 1000000.0, 'unixepoch') AS collected_at,
              delay_ms,
              bottleneck{readable}{asTheyAre}
            FROM sample;
            """;
    }
}
