using System.Collections.Concurrent;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>A few readers, lent out one at a time: a history takes memory while it is read, and the machine has few cores.</summary>
internal sealed class Readers(string path, int rawHours, StorageWatch storage) : IDisposable
{
    private const int Most = 2;

    private readonly ConcurrentBag<Reader> idle = [];
    private readonly SemaphoreSlim free = new(Most);

    /// <summary>Lends a reader out, as soon as one is free.</summary>
    public async Task<T> Use<T>(Func<Reader, T> work, CancellationToken stop)
    {
        await free.WaitAsync(stop);

        try
        {
            var reader = idle.TryTake(out var known) ? known : new Reader(path, rawHours);

            try
            {
                var read = work(reader);
                storage.Read();
                return read;
            }
            finally
            {
                idle.Add(reader);
            }
        }
        catch (SqliteException failure)
        {
            storage.ReadFailed(failure);
            throw;
        }
        finally
        {
            free.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var reader in idle)
        {
            reader.Dispose();
        }

        free.Dispose();
    }
}
