namespace Agent.Receiver

open System

/// The log-in attempts of one address.
[<Struct; NoComparison>]
type AddressAttempts =
    {
        /// Instants of a monotonic clock, newest first: attempts that were let through and have not turned out right.
        Times: TimeSpan list
    }

/// The log-in attempts on one account, from all addresses.
[<NoComparison>]
type AccountAttempts =
    {
        /// Instants of a monotonic clock, newest first: attempts that were looked at and have not turned out right.
        Looked: TimeSpan list
        /// Addresses that were told to come back, and when each may; soonest first.
        Waiting: (struct (string * TimeSpan)) list
        /// Addresses from which somebody logged in to the account, newest first.
        Known: string list
    }

/// How often passwords may be tried. An attempt counts when it begins, so that a thousand at once are as many as a thousand one
/// after the other. Wrong guesses of one address never keep another address out: where an account is under attack, each other
/// address gets a turn, which is kept for it.
[<RequireQualifiedAccess>]
module Attempts =
    /// So many attempts an address has within the window.
    [<Literal>]
    let MostOfAddress = 5

    /// So many attempts on an account are looked at within the window before the next ones have to wait for their turn.
    [<Literal>]
    let MostOfAccount = 5

    /// So many attempts on an account are remembered: more than are counted, so that one that turns out right takes no other's place.
    [<Literal>]
    let MostRemembered = 20

    /// So many addresses wait for a turn on an account.
    [<Literal>]
    let MostWaiting = 100

    /// So many addresses are remembered as those from which an account was used.
    [<Literal>]
    let MostKnown = 16

    /// How long an attempt counts.
    let window: TimeSpan = TimeSpan.FromMinutes 1.0

    /// The time between two turns.
    let spacing: TimeSpan = TimeSpan.FromSeconds 3.0

    /// How long a turn is kept for whoever was told to come back.
    let patience: TimeSpan = TimeSpan.FromSeconds 30.0

    /// An address that has not tried anything.
    let noneOfAddress: AddressAttempts = { Times = [] }

    /// An account that nobody has tried.
    let noneOfAccount: AccountAttempts =
        {
            Looked = []
            Waiting = []
            Known = []
        }

    let private recent (now: TimeSpan) (times: TimeSpan list) =
        times |> List.filter (fun time -> now - time < window)

    /// One more attempt from an address: zero and the attempt is counted, or how long to wait, and it is not.
    [<CompiledName "OfAddress">]
    let ofAddress (now: TimeSpan) (attempts: AddressAttempts) : struct (TimeSpan * AddressAttempts) =
        let times = recent now attempts.Times

        if times.Length < MostOfAddress then
            struct (TimeSpan.Zero, { Times = now :: times })
        else
            struct (window - (now - List.item (MostOfAddress - 1) times), { Times = times })

    /// One more attempt on an account, from the address of this key: zero and the attempt may be looked at, or how long to wait.
    /// Whoever comes back after that time, and not much later, has his turn.
    [<CompiledName "OfAccount">]
    let ofAccount (now: TimeSpan) (address: string) (attempts: AccountAttempts) : struct (TimeSpan * AccountAttempts) =
        let looked = recent now attempts.Looked

        let waiting =
            attempts.Waiting
            |> List.filter (fun (struct (_, turn)) -> now - turn < patience)

        let others = waiting |> List.filter (fun (struct (who, _)) -> who <> address)

        let look () =
            struct (TimeSpan.Zero,
                    { attempts with
                        Looked = List.truncate MostRemembered (now :: looked)
                        Waiting = others
                    })

        let wait turn waiting =
            struct (turn - now,
                    { attempts with
                        Looked = looked
                        Waiting = waiting
                    })

        match waiting |> List.tryFind (fun (struct (who, _)) -> who = address) with
        | _ when List.contains address attempts.Known -> look ()
        | Some(struct (_, turn)) when turn <= now -> look ()
        | Some(struct (_, turn)) -> wait turn waiting
        | None when waiting.IsEmpty && looked.Length < MostOfAccount -> look ()
        | None ->
            let last =
                match List.tryLast waiting with
                | Some(struct (_, turn)) -> max turn now
                | None -> now

            let turn = last + spacing

            if waiting.Length < MostWaiting then
                wait turn (waiting @ [ struct (address, turn) ])
            else
                wait turn waiting

    let private without (time: TimeSpan) (times: TimeSpan list) =
        match List.tryFindIndex ((=) time) times with
        | Some index -> List.removeAt index times
        | None -> times

    /// The attempt of that instant turned out right, and does not count against its address.
    [<CompiledName "Forgiven">]
    let forgiven (at: TimeSpan) (attempts: AddressAttempts) : AddressAttempts = { Times = without at attempts.Times }

    /// The attempt of that instant turned out right: it does not count, and the address is known from then on.
    [<CompiledName "Succeeded">]
    let succeeded (at: TimeSpan) (address: string) (attempts: AccountAttempts) : AccountAttempts =
        { attempts with
            Looked = without at attempts.Looked
            Known = address :: List.filter ((<>) address) attempts.Known |> List.truncate MostKnown
        }

    /// Whether nothing of an address counts any more.
    [<CompiledName "IsIdle">]
    let isIdle (now: TimeSpan) (attempts: AddressAttempts) : bool = (recent now attempts.Times).IsEmpty
