namespace Agent.Dashboard.Store;

/// <summary>What waits for the writer's thread: samples, and requests that carry none. Any thread adds, the writer's takes.</summary>
internal sealed class WriteQueue(AgentClock clock)
{
    private const int LargestBatch = 512;

    private readonly object gate = new();
    private readonly List<IngestJob> samples = [];
    private readonly List<WriteRequest> requests = [];
    private bool isClosed;

    /// <summary>Whether samples wait, or the end does.</summary>
    public bool IsUrgent
    {
        get
        {
            lock (gate)
            {
                return samples.Count > 0 || isClosed;
            }
        }
    }

    /// <summary>Adds a sample; false once the queue is closed.</summary>
    public bool Add(IngestJob job)
    {
        lock (gate)
        {
            if (isClosed)
            {
                return false;
            }

            samples.Add(job);
            Monitor.Pulse(gate);
            return true;
        }
    }

    /// <summary>Adds a request; the answer is true when what it did is on disk, and false where it is not.</summary>
    public Task<bool> Ask(Action work)
    {
        var request = new WriteRequest(work);

        lock (gate)
        {
            if (isClosed)
            {
                return Task.FromResult(false);
            }

            requests.Add(request);
            Monitor.Pulse(gate);
        }

        return request.Done.Task;
    }

    /// <summary>Takes no more.</summary>
    public void Close()
    {
        lock (gate)
        {
            isClosed = true;
            Monitor.Pulse(gate);
        }
    }

    /// <summary>Waits for work or this time of the monotonic clock; false once the queue is closed and empty.</summary>
    public bool Take(List<IngestJob> batch, List<WriteRequest> asked, TimeSpan until)
    {
        lock (gate)
        {
            while (samples.Count == 0 && requests.Count == 0 && !isClosed && clock.Elapsed < until)
            {
                clock.Wait(gate, until - clock.Elapsed);
            }

            if (samples.Count == 0 && requests.Count == 0 && isClosed)
            {
                return false;
            }

            var most = Math.Min(samples.Count, LargestBatch);
            batch.AddRange(samples[..most]);
            samples.RemoveRange(0, most);
            asked.AddRange(requests);
            requests.Clear();
        }

        // Requests that overtook each other on the way are put in order, which spares looking for neighbours.
        if (batch.Count > 1)
        {
            batch.Sort(static (one, other) => one.Key.CompareTo(other.Key));
        }

        return true;
    }
}

/// <summary>A request to the writer that carries no sample.</summary>
internal sealed record WriteRequest(Action Work)
{
    public TaskCompletionSource<bool> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
