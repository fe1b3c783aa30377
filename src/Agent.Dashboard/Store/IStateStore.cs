using Agent.Receiver;

namespace Agent.Dashboard.Store;

/// <summary>What became of a change that only the holder of the lease makes.</summary>
internal enum Kept
{
    /// <summary>It is kept.</summary>
    Yes,

    /// <summary>It could not be stored; nothing of it is kept.</summary>
    Failed,

    /// <summary>Another dashboard holds the lease by now; nothing of it is kept.</summary>
    NotHolder,
}

/// <summary>
/// Keeps what people and alerts leave behind, and changes it in transactions, one after the other: the database of the samples, or one that
/// several dashboards share.
/// </summary>
internal interface IStateStore
{
    /// <summary>Whether other dashboards may change it as well.</summary>
    bool IsShared { get; }

    /// <summary>How it is, and who evaluates the rules; null where nobody else may.</summary>
    StateReport? Report { get; }

    /// <summary>Whether this dashboard evaluates the rules and delivers messages at present.</summary>
    bool IsHolder { get; }

    /// <summary>Called where what is remembered of the alerts may differ from what is kept, on the thread that executes transactions.</summary>
    Action? OnForget { get; set; }

    /// <summary>When a message is due at the earliest, in microseconds from 2000-01-01.</summary>
    long NextMessageAt { get; }

    /// <summary>Why nothing can be stored, for answers.</summary>
    string Reason { get; }

    /// <summary>Looks into the alerts, or makes a change that somebody asked for, with what follows from it; done when it is kept.</summary>
    Task<bool> Alert(Action<AlertRows, EventRows, OutboxRows> change);

    /// <summary>The same for what follows from a look at the machines, which is the holder's alone.</summary>
    Task<Kept> Evaluate(Action<AlertRows, EventRows, OutboxRows> change);

    /// <summary>Looks into the messages that wait to be delivered; done when that is known.</summary>
    Task<bool> Look(Action<OutboxRows> look);

    /// <summary>Changes the messages that wait to be delivered, which is the holder's alone.</summary>
    Task<Kept> Deliver(Action<OutboxRows> change);

    /// <summary>Forgets a message that was delivered by a dashboard which is not the holder any more, unless another attempt has begun since.</summary>
    Task<bool> Withdraw(OutboxMessage delivered);

    /// <summary>Writes down what happened to a server, or to all; done when it is kept.</summary>
    Task<bool> Note(int server, Happening happening, string author);

    /// <summary>Changes registrations or keys; done when that is kept, and from then on it holds for every request here.</summary>
    Task<bool> Register(Action<StateConnection> change);
}
