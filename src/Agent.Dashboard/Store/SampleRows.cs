using Agent.Core;
using Agent.Receiver;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Agent.Dashboard.Store;

/// <summary>A row of the table of samples, as it was read.</summary>
/// <param name="Key">Its key.</param>
/// <param name="DelayMilliseconds">From when it was collected to when it arrived.</param>
/// <param name="Label">The code of its label.</param>
/// <param name="Layout">Its devices.</param>
/// <param name="Report">What it says.</param>
/// <param name="Said">What was said of its machine and of its jobs.</param>
internal sealed record SampleRow(long Key, long DelayMilliseconds, int Label, Layout Layout, Report Report, VerdictPoint Said)
{
    /// <summary>When it arrived.</summary>
    public DateTimeOffset ReceivedAt => Report.CollectedAt.AddMilliseconds(DelayMilliseconds);
}

/// <summary>A row with what is derived from it and the row before it in time.</summary>
/// <param name="Row">As it was read.</param>
/// <param name="Measured">The same as rates follow from it.</param>
/// <param name="Rates">Its rates and roll-ups.</param>
internal readonly record struct DerivedRow(SampleRow Row, Measured Measured, Rates Rates)
{
    /// <summary>What there is to chart of it.</summary>
    public Point Point => PointModule.Of(Row.Layout, Row.Report, Rates, Row.Label);

    /// <summary>What its label was decided by.</summary>
    public BottleneckInputs Inputs => BottleneckModule.InputsOf(Measured.Sample, Rates.Derived);
}

/// <summary>Reads and writes rows of samples over one connection.</summary>
internal sealed class SampleRows : IDisposable
{
    /// <summary>When a row arrived, in SQL: milliseconds from 2000-01-01.</summary>
    public const string ArrivalMilliseconds = "((key & 2251799813685247) / 1000 + delay_ms)";

    private const int FirstCell = 5;
    private const int MostLast = 17;

    private static readonly string Columns =
        $"key, layout, delay_ms, bottleneck, verdict, {string.Join(", ", Packing.decimalColumns.Concat(Packing.wholeColumns))}, disks, gpus, fans, jobs, details";

    private readonly Statement insert;
    private readonly Statement relabel;
    private readonly Statement range;
    private readonly Statement count;
    private readonly Statement before;
    private readonly Statement last;
    private readonly Statement after;
    private readonly Cell[] cells = new Cell[Packing.width];
    private readonly Layouts layouts;

    /// <summary>Prepares its statements.</summary>
    public SampleRows(SqliteConnection connection, Layouts layouts)
    {
        this.layouts = layouts;
        var places = string.Join(", ", Enumerable.Range(1, FirstCell + Packing.width + 5).Select(static place => $"?{place}"));
        insert = new Statement(connection, $"INSERT INTO sample ({Columns}) VALUES ({places})");
        relabel = new Statement(connection, "UPDATE sample SET bottleneck = ?2 WHERE key = ?1");
        range = new Statement(connection, $"SELECT {Columns} FROM sample WHERE key >= ?1 AND key < ?2 ORDER BY key");
        count = new Statement(connection, "SELECT count(*) FROM sample WHERE key >= ?1 AND key < ?2");
        // Not a parameter: SQLite prepares a statement anew whenever a limit is bound.
        before = new Statement(connection, $"SELECT {Columns} FROM sample WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT 1");
        last = new Statement(
            connection, $"SELECT {Columns} FROM sample WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT {MostLast}");
        after = new Statement(connection, $"SELECT {Columns} FROM sample WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT 1");
    }

    /// <summary>Adds a row.</summary>
    public void Insert(long key, int layout, long delayMilliseconds, int label, Report report, VerdictPoint said)
    {
        Packing.Fill(report, cells);
        insert.Bind(1, key).Bind(2, layout).Bind(3, delayMilliseconds).Bind(4, label);
        _ = said.Label < 0 ? insert.BindNull(FirstCell) : insert.Bind(FirstCell, said.Label);

        for (var index = 0; index < cells.Length; index++)
        {
            ref readonly var cell = ref cells[index];
            var place = FirstCell + 1 + index;
            _ = cell.Kind switch
            {
                0 => insert.BindNull(place),
                1 => insert.Bind(place, cell.Whole),
                _ => insert.Bind(place, cell.Real),
            };
        }

        var blobs = FirstCell + cells.Length;
        insert
            .Bind(blobs + 1, Packing.Disks(report))
            .Bind(blobs + 2, Packing.Gpus(report))
            .Bind(blobs + 3, Packing.Fans(report))
            .Bind(blobs + 4, JobPointModule.Pack(said.Jobs))
            .Bind(blobs + 5, Packing.Details(report))
            .Run();
    }

    /// <summary>Changes a row's label.</summary>
    public void Relabel(long key, int label) => relabel.Bind(1, key).Bind(2, label).Run();

    /// <summary>Rows from a key to before another, in the order of time; what is kept apart of them is left out where nobody wants it.</summary>
    public IEnumerable<SampleRow> Range(long first, long past, bool details = true)
    {
        range.Bind(1, first).Bind(2, past);

        try
        {
            while (range.Step())
            {
                yield return Read(range, details);
            }
        }
        finally
        {
            range.Reset();
        }
    }

    /// <summary>The same rows with what is derived from each and its neighbour.</summary>
    public IEnumerable<DerivedRow> Derived(long first, long past, bool details = true)
    {
        var previous = Maybe.Of(Before(first) is { } neighbour ? DerivationModule.Measure(neighbour.Report) : null);

        foreach (var row in Range(first, past, details))
        {
            var measured = DerivationModule.Measure(row.Report);
            yield return new DerivedRow(row, measured, DerivationModule.RatesOf(previous, measured));
            previous = Maybe.Of(measured);
        }
    }

    /// <summary>How many rows there are from a key to before another.</summary>
    public int Count(long first, long past)
    {
        count.Bind(1, first).Bind(2, past).Step();
        var rows = count.Integer(0);
        count.Reset();
        return (int)rows;
    }

    /// <summary>The last row of a server before a key, or null.</summary>
    public SampleRow? Before(long key)
    {
        before.Bind(1, RowKey.Sample(ServerOf(key), 0)).Bind(2, key);
        var row = before.Step() ? Read(before) : null;
        before.Reset();
        return row;
    }

    /// <summary>The newest rows of a server, in the order of time.</summary>
    public List<SampleRow> Last(int server)
    {
        last.Bind(1, RowKey.Sample(server, 0)).Bind(2, RowKey.Sample(server + 1, 0));
        var rows = new List<SampleRow>(MostLast);

        while (last.Step())
        {
            rows.Add(Read(last));
        }

        rows.Reverse();
        return rows;
    }

    /// <summary>The first row of a server after a key, or null.</summary>
    public SampleRow? After(long key)
    {
        after.Bind(1, key).Bind(2, RowKey.Sample(ServerOf(key) + 1, 0));
        var row = after.Step() ? Read(after) : null;
        after.Reset();
        return row;
    }

    /// <summary>The row of a key, or null.</summary>
    public SampleRow? At(long key) => Range(key, key + 1).FirstOrDefault();

    /// <inheritdoc/>
    public void Dispose()
    {
        insert.Dispose();
        relabel.Dispose();
        range.Dispose();
        count.Dispose();
        before.Dispose();
        last.Dispose();
        after.Dispose();
    }

    private static int ServerOf(long key) => (int)(key >> 51);

    private SampleRow Read(Statement row, bool details = true)
    {
        var key = row.Integer(0);
        var stored = layouts.Find((int)row.Integer(1));

        for (var index = 0; index < cells.Length; index++)
        {
            var column = FirstCell + index;
            cells[index] = row.Kind(column) switch
            {
                raw.SQLITE_NULL => default,
                raw.SQLITE_INTEGER => new Cell(1, row.Integer(column), 0),
                _ => new Cell(2, 0, row.Real(column)),
            };
        }

        var blobs = FirstCell + cells.Length;
        var report = Packing.Report(
            stored.Layout,
            stored.Samples,
            RowKey.Instant(RowKey.TimeOf(key)),
            cells,
            row.Bytes(blobs),
            row.Bytes(blobs + 1),
            row.Bytes(blobs + 2),
            details ? row.Bytes(blobs + 4) : []);
        var said = VerdictPointModule.Of(row.IsNull(FirstCell - 1) ? -1 : (int)row.Integer(FirstCell - 1), row.Bytes(blobs + 3));
        return new SampleRow(key, row.Integer(2), (int)row.Integer(3), stored.Layout, report, said);
    }
}
