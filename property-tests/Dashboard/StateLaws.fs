/// Laws of the state that several dashboards share: its address, and the lease of the one that evaluates the rules.
module Agent.PropertyTests.Dashboard.StateLaws

open System
open Agent.Receiver
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck.FSharp

let private name =
    Gen.nonEmptyListOf (Gen.elements [ 'a'; 'Z'; '7'; '_'; ' '; '@'; ':'; '/'; '%'; 'ü'; '?'; '#'; '&'; '=' ])
    |> Gen.map (fun characters -> String(Array.ofList (List.truncate StateAddress.LongestName characters)))

let private addresses =
    gen {
        let! host = Gen.elements [ "db"; "db.example"; "10.0.0.7"; "::1"; "fd00::5"; "/run/postgresql" ]
        let! port = Gen.choose (1, 65535)
        let! user = name
        let! database = name |> Gen.map _.Replace('/', '-')
        let! mode = Gen.elements [ "disable"; "prefer"; "require"; "verify-ca"; "verify-full" ]
        let! certificate = Gen.elements [ ""; "/etc/ssl/ca & others.pem" ]

        return
            {
                Host = host
                Port = port
                User = user
                Database = database
                TlsMode = mode
                RootCertificate = certificate
            }
    }

let private pieces =
    Gen.listOf (
        Gen.elements
            [
                "postgres://"
                "postgresql://"
                "ops"
                "@"
                ":"
                "/"
                "?"
                "&"
                "="
                "#"
                "%"
                "%4"
                "%00"
                "["
                "]"
                "db"
                "5432"
                "sslmode"
                "require"
                "host"
                "\000"
                "\uD800"
                " "
            ]
    )
    |> Gen.map (String.concat "")

/// What happens to one of two dashboards, or to the time that both share.
[<RequireQualifiedAccess>]
type private Happens =
    /// So much time passes, in milliseconds.
    | Passes of milliseconds: int
    /// A dashboard asks, and the state acts on that so much later, or is asked in vain.
    | Asks of dashboard: int * delay: int * isLost: bool

let private course =
    let happens =
        Gen.frequency
            [
                3, Gen.choose (1, 9000) |> Gen.map Happens.Passes
                4,
                gen {
                    let! dashboard = Gen.choose (0, 1)
                    let! delay = Gen.choose (0, 4000)
                    let! isLost = Gen.frequency [ 5, Gen.constant false; 1, Gen.constant true ]
                    return Happens.Asks(dashboard, delay, isLost)
                }
            ]

    Gen.listOf happens |> Gen.resize 60

/// Time, the row (its holder, its number and its end), and what each of the two dashboards knows.
type private World =
    {
        Now: float
        Holder: string
        Token: int64
        Ends: float
        Held: HeldLease[]
    }

let private names = [| "a"; "b" |]
let private span (milliseconds: float) = TimeSpan.FromMilliseconds milliseconds

let private step (world: World) (happens: Happens) : World =
    match happens with
    | Happens.Passes milliseconds ->
        { world with
            Now = world.Now + float milliseconds
        }
    | Happens.Asks(dashboard, delay, isLost) ->
        let asked = world.Now
        let at = asked + float delay

        let row =
            {
                Holder = world.Holder
                Token = world.Token
                Left = span (world.Ends - at)
            }

        let take token =
            let held = Array.copy world.Held

            // An answer that is lost leaves the dashboard with what it knew before.
            if not isLost then
                held[dashboard] <- Lease.granted (span asked) token

            { world with
                Now = at
                Holder = names[dashboard]
                Token = token
                Ends = at + Lease.length.TotalMilliseconds
                Held = held
            }

        match Lease.decide names[dashboard] row with
        | LeaseStep.Take token
        | LeaseStep.Renew token -> take token
        | LeaseStep.Wait ->
            let held = Array.copy world.Held
            held[dashboard] <- Lease.none
            { world with Now = at; Held = held }

let private start =
    {
        Now = 0.0
        Holder = ""
        Token = 0L
        Ends = 0.0
        Held = [| Lease.none; Lease.none |]
    }

let tests =
    testList
        "State"
        [
            law "an address is what its URL says" addresses (fun address ->
                // A colon before the @ would be a password; in a name it is written as %3A.
                StateAddress.parse address.Url = Ok address)

            law "any text is an address, or is refused with a reason" (Gen.oneof [ anyText; pieces ]) (fun text ->
                match StateAddress.parse text with
                | Ok address -> StateAddress.parse address.Url = Ok address
                | Error(struct (_, reason)) -> reason <> "")

            law "what is refused for its password does not repeat it" pieces (fun text ->
                match StateAddress.parse $"postgres://ops:hunter2{text}@db/gpus" with
                | Ok _ -> false
                | Error(struct (mayRepeat, reason)) -> not mayRepeat && not (reason.Contains "hunter2"))

            law "no two dashboards hold the lease at the same time, whatever is late or lost" course (fun events ->
                events
                |> List.scan step start
                |> List.forall (fun world -> world.Held |> Array.filter (Lease.isHeld (span world.Now)) |> Array.length <= 1))

            law "the number rises with each change of the holder, and never falls" course (fun events ->
                events
                |> List.scan step start
                |> List.pairwise
                |> List.forall (fun (before, after) ->
                    after.Token >= before.Token
                    && (after.Holder = before.Holder || after.Token > before.Token)))

            law "whoever holds it has the number of the row" course (fun events ->
                events
                |> List.scan step start
                |> List.forall (fun world ->
                    world.Held
                    |> Array.forall (fun held -> not (Lease.isHeld (span world.Now) held) || held.Token = world.Token)))

            law "once its holder asks no more, another has it within its length and a period" course (fun events ->
                let world = events |> List.fold step start

                let later =
                    { world with
                        Now = world.Now + Lease.length.TotalMilliseconds
                    }

                let taken = step later (Happens.Asks(1, 0, false))
                Lease.isHeld (span taken.Now) taken.Held[1])
        ]
