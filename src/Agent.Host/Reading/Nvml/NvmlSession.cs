using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <summary>
/// One opening of libnvidia-ml, from its initialisation to its shutdown. Threads other than the one that opened it enter
/// before they call the library and leave again, and it is closed only when all have left: one that hangs in a call
/// keeps it open.
/// </summary>
internal sealed class NvmlSession
{
    /// <summary>A thread in the wait for events notices after so long that it should leave.</summary>
    private static readonly TimeSpan EventWait = TimeSpan.FromSeconds(1);

    /// <summary>A wait that came back so early has waited.</summary>
    private static readonly TimeSpan ShortestRest = EventWait / 10;

    private const int TimedOut = 10;
    private const int Lost = 15;
    private const int Unknown = 999;
    private const uint NoInstance = uint.MaxValue;

    private readonly NvmlLibrary library;
    private readonly AgentClock clock;
    private readonly object gate = new();
    private int inside;
    private bool leaving;

    private NvmlSession(NvmlLibrary library, NvmlBoard[] boards, AgentClock clock)
    {
        this.library = library;
        this.clock = clock;
        Boards = boards;
    }

    /// <summary>The GPUs in the library's order.</summary>
    public NvmlBoard[] Boards { get; }

    /// <summary>True after a code that only a new opening mends, and once a MIG instance is gone.</summary>
    public bool IsIll => Array.Exists(Boards, static board => board.Lost != 0 || board.HasGoneInstance);

    /// <summary>True when there are more GPUs or fewer than there were, or one answers that did not: a new opening finds them.</summary>
    public bool HasChanged => library.Count() is { Code: 0, Value: <= Nvml.MostBoards and var count } && count != Boards.Length || Array.Exists(Boards, static board => board.IsBack);

    /// <summary>True once the threads inside should leave.</summary>
    public bool IsLeaving
    {
        get
        {
            lock (gate)
            {
                return leaving;
            }
        }
    }

    /// <summary>Loads and initialises the library and finds the GPUs; null, and the state, if that fails.</summary>
    /// <param name="path">The library; empty for where the dynamic linker finds it.</param>
    /// <param name="before">The GPUs of the opening before, to name those that do not tell who they are.</param>
    /// <param name="power">Says which GPUs are suspended.</param>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="state">What it came to.</param>
    public static NvmlSession? Open(string path, Nvml.Identity[] before, RuntimePower power, AgentClock clock, out Nvml.State state)
    {
        if (NvmlLibrary.Open(path, out var problem) is not { } library)
        {
            state = Nvml.State.NewNotLoaded(problem);
            return null;
        }

        var code = library.Init();

        if (code != 0)
        {
            library.Dispose();
            state = Nvml.State.NewFailed(code);
            return null;
        }

        var count = library.Count();

        if (count.Code != 0 || count.Value > Nvml.MostBoards)
        {
            library.Shutdown();
            library.Dispose();
            state = Nvml.State.NewFailed(count.Code != 0 ? count.Code : Nvml.ImpossibleCount);
            return null;
        }

        state = Nvml.State.NewOpened((int)count.Value);
        return new(library, Find(library, (int)count.Value, before, power, clock), clock);
    }

    /// <summary>Lets a thread in, unless the session is about to end.</summary>
    public bool TryEnter()
    {
        lock (gate)
        {
            inside += leaving ? 0 : 1;
            return !leaving;
        }
    }

    /// <summary>The thread that entered calls the library no more.</summary>
    public void Leave()
    {
        lock (gate)
        {
            inside--;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>
    /// Asks the threads inside to leave, and if all have left shuts the library down. False while one is inside; then
    /// the session goes on.
    /// </summary>
    public bool TryClose()
    {
        lock (gate)
        {
            leaving = true;
            Monitor.PulseAll(gate);

            if (inside > 0)
            {
                return false;
            }
        }

        foreach (var board in Boards)
        {
            board.FreeWork();
        }

        library.Shutdown();
        library.Dispose();
        return true;
    }

    /// <summary>Counts XID events until it is time to leave. To be called by a thread that has entered.</summary>
    public void WatchXid(XidCounts xids)
    {
        NvmlBoard[] asked = [];
        nint events = 0;
        Dictionary<nint, NvmlBoard> watched = [];

        while (!IsLeaving)
        {
            // One that the kernel had suspended is asked once it is awake; to ask it before would wake it.
            if (Array.Exists(Boards, board => board.Answers && !asked.Contains(board)))
            {
                Free(events, watched);
                asked = [.. Boards.Where(static board => board.Answers)];
                (events, watched) = Register(asked);
                xids.Watch(asked, watched.Values);
            }

            var begun = clock.Elapsed;

            if (watched.Count > 0)
            {
                if (Happened(events, watched, xids))
                {
                    continue;
                }
            }
            else if (!Array.Exists(Boards, board => board.IsSuspended && !asked.Contains(board)))
            {
                return;
            }

            // Nothing happened and the time is not over: a lost GPU, a driver that went away or one that does not wait. No busy loop.
            if (EventWait - (clock.Elapsed - begun) is var rest && rest > ShortestRest)
            {
                lock (gate)
                {
                    if (!leaving)
                    {
                        clock.Wait(gate, rest);
                    }
                }
            }
        }

        Free(events, watched);
    }

    /// <summary>Waits for one event and counts it; false when there was none.</summary>
    private bool Happened(nint events, Dictionary<nint, NvmlBoard> watched, XidCounts xids)
    {
        var happened = library.WaitForEvent(events, clock.ToReal(EventWait));

        // A wait that cannot be made tells of no event. Of a lost board (15) the events so far are still worth knowing.
        xids.Watch(watched.Values, happened.Code is 0 or TimedOut or Lost ? watched.Values : []);

        if (happened.Code != 0 || !watched.TryGetValue(happened.Value.Device, out var board))
        {
            return false;
        }

        xids.Add(board.Key, happened.Value.EventData);

        if (happened.Value.GpuInstanceId != NoInstance)
        {
            xids.Add(board.InstanceKey(happened.Value.GpuInstanceId), happened.Value.EventData);
        }

        return true;
    }

    private void Free(nint events, Dictionary<nint, NvmlBoard> watched)
    {
        if (watched.Count > 0)
        {
            library.FreeEvents(events);
        }
    }

    /// <summary>
    /// A set of events of these boards, but for those that refuse: a driver that knows no such event for a GPU does, and then nothing is
    /// known of it. After UNKNOWN the set is in no defined state (nvmlDeviceRegisterEvents) and is freed; another is made without
    /// that board.
    /// </summary>
    private (nint Events, Dictionary<nint, NvmlBoard> Watched) Register(NvmlBoard[] boards)
    {
        if (boards.Length == 0 || library.CreateEvents() is not { Code: 0, Value: var events })
        {
            return (0, []);
        }

        var watched = new Dictionary<nint, NvmlBoard>();

        foreach (var board in boards)
        {
            switch (library.RegisterXid(board.Handle, events))
            {
                case 0:
                    watched[board.Handle] = board;
                    break;
                case Unknown:
                    library.FreeEvents(events);
                    return Register([.. boards.Where(other => other != board)]);
                default:
                    break;
            }
        }

        if (watched.Count == 0)
        {
            library.FreeEvents(events);
        }

        return (events, watched);
    }

    private static NvmlBoard[] Find(NvmlLibrary library, int count, Nvml.Identity[] before, RuntimePower power, AgentClock clock)
    {
        var driver = library.DriverVersion();

        var found = Enumerable.Range(0, count)
            .Select(index => (Index: index, Handle: library.HandleByIndex(index)))
            .Select(found => (
                found.Index,
                found.Handle,
                Told: found.Handle is { Code: 0, Value: var device }
                    ? new NvmlBoard.Texts(library.Name(device), library.Uuid(device), library.PciBusId(device), driver)
                    : NvmlBoard.Texts.Unknown(found.Handle.Code)))
            .ToArray();

        var identities = Nvml.Identify(
            before, [.. found.Select(static one => new Nvml.Identity(one.Told.Name.Value, one.Told.Uuid.Value, one.Told.PciBusId.Value))]);

        var keys = Nvml.KeysOf(identities);

        return
        [
            .. found.Select(one => new NvmlBoard(
                library, power, one.Index, one.Handle, one.Told, identities[one.Index], keys[one.Index], clock)),
        ];
    }
}
