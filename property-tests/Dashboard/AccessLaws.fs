/// Laws of who may look: attempts to log in, proxies, redirects, and the files of users, tokens and sessions.
module Agent.PropertyTests.Dashboard.AccessLaws

open System
open System.Net
open Agent.Receiver
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private ms (count: int) = TimeSpan.FromMilliseconds(float count)

/// Instants that follow each other by up to half a minute, many of them the same.
let private instants: Gen<TimeSpan[]> =
    Gen.frequency [ 3, Gen.constant 0; 2, Gen.choose (0, 500); 2, Gen.choose (0, 30000) ]
    |> upTo 80
    |> Gen.map (Array.scan (+) 0 >> Array.map ms)

let private attempts: Gen<(TimeSpan * string)[]> =
    gen {
        let! times = instants
        let! addresses = Gen.arrayOfLength times.Length (Gen.choose (0, 12) |> Gen.map (fun n -> $"192.0.2.{n}"))
        return Array.zip times addresses
    }

/// The attempts that may be looked at, in their order, and what is known in the end.
let private play (account: AccountAttempts) (attempts: (TimeSpan * string)[]) =
    ((account, []), attempts)
    ||> Array.fold (fun (account, looked) (now, address) ->
        let struct (wait, after) = Attempts.ofAccount now address account

        after,
        (if wait = TimeSpan.Zero then
             (now, address) :: looked
         else
             looked))
    |> fun (account, looked) -> account, List.rev looked

let private within (window: TimeSpan) (times: TimeSpan list) =
    times
    |> List.map (fun first ->
        times
        |> List.filter (fun time -> time >= first && time - first < window)
        |> List.length)
    |> List.fold max 0

let private attemptLaws =
    [
        law "no minute sees more than five attempts of one address" instants (fun times ->
            ((Attempts.noneOfAddress, []), times)
            ||> Array.fold (fun (known, through) now ->
                let struct (wait, after) = Attempts.ofAddress now known
                after, (if wait = TimeSpan.Zero then now :: through else through))
            |> snd
            |> within Attempts.window
            |> fun most -> most <= Attempts.MostOfAddress)

        law "an address that waits as long as it was told is let through" instants (fun times ->
            let last = Array.last times

            let known =
                (Attempts.noneOfAddress, times)
                ||> Array.fold (fun known now ->
                    let struct (_, after) = Attempts.ofAddress now known
                    after)

            let struct (wait, after) = Attempts.ofAddress last known
            let struct (again, _) = Attempts.ofAddress (last + wait) after
            wait = TimeSpan.Zero || again = TimeSpan.Zero)

        law "a burst on one account from many addresses is looked at five times" (Gen.choose (1, 500)) (fun count ->
            let burst = [| for n in 1..count -> TimeSpan.Zero, $"192.0.2.{n}" |]
            let _, looked = play Attempts.noneOfAccount burst
            same looked.Length (min count Attempts.MostOfAccount))

        law "no minute sees more attempts on an account than five and its turns" attempts (fun attempts ->
            let _, looked = play Attempts.noneOfAccount attempts

            let turns = int (ceil ((Attempts.window + Attempts.patience) / Attempts.spacing))

            within Attempts.window (List.map fst looked)
            <= Attempts.MostOfAccount + turns + 1)

        law "whoever comes back when told has a turn, whatever others have tried in between" attempts (fun attempts ->
            let account, _ = play Attempts.noneOfAccount attempts
            let now = fst (Array.last attempts)
            let struct (wait, account) = Attempts.ofAccount now "198.51.100.7" account

            let between = [| for n in 0..200 -> now + wait * (float n / 200.0), $"192.0.2.{n % 20}" |]

            let account, _ = play account between
            let struct (again, _) = Attempts.ofAccount (now + wait) "198.51.100.7" account
            wait = TimeSpan.Zero || same again TimeSpan.Zero)

        law "an address from which somebody logged in is not kept waiting by others" attempts (fun attempts ->
            let known = Attempts.succeeded TimeSpan.Zero "198.51.100.7" Attempts.noneOfAccount

            let account, _ = play known attempts
            let struct (wait, _) = Attempts.ofAccount (fst (Array.last attempts)) "198.51.100.7" account
            same wait TimeSpan.Zero)

        law "a right password takes back its own attempt and no other" attempts (fun attempts ->
            let now = fst (Array.last attempts) + Attempts.window
            let burst = [| for n in 1..5 -> now, $"192.0.2.{n}" |]

            let account, _ =
                play
                    { Attempts.noneOfAccount with
                        Known = [ "198.51.100.7" ]
                    }
                    burst

            let struct (_, account) = Attempts.ofAccount now "198.51.100.7" account
            let account = Attempts.succeeded now "198.51.100.7" account
            let struct (wait, _) = Attempts.ofAccount now "203.0.113.1" account
            wait > TimeSpan.Zero)

        law "what is remembered of an account is bounded" attempts (fun attempts ->
            let account, _ = play Attempts.noneOfAccount attempts

            account.Looked.Length <= Attempts.MostRemembered
            && account.Waiting.Length <= Attempts.MostWaiting)

        law "a minute of the audit has at most sixty lines, and every event is written or counted" instants (fun times ->
            let written, unwritten, budget =
                ((0, 0, Audit.fresh), times)
                ||> Array.fold (fun (written, unwritten, budget) now ->
                    let struct (left, budget) = Audit.renewed now budget
                    let struct (isWritten, budget) = Audit.counted budget
                    written + (if isWritten then 1 else 0), unwritten + left, budget)

            budget.Written <= Audit.MostLines
            && same (written + unwritten + budget.Unwritten) times.Length)
    ]

let private ipv4: Gen<uint32> = Gen.choose64 (0L, 0xFFFFFFFFL) |> Gen.map uint32

let private addressOf (bits: uint32) =
    IPAddress [| byte (bits >>> 24); byte (bits >>> 16); byte (bits >>> 8); byte bits |]

let private mask (length: int) =
    if length = 0 then 0u else 0xFFFFFFFFu <<< (32 - length)

/// What a client may write into the header of its own.
let private madeUp: Gen<string> =
    Gen.elements
        [
            ""
            ","
            " , ,"
            "127.0.0.1"
            "10.0.0.1, 10.0.0.2"
            "unknown"
            "1"
            "0x7f.0.0.1"
            "[::1]:80"
            "203.0.113.9:4711"
            "\"[2001:db8::1]\""
            "999.1.1.1"
            "é"
        ]

let private proxies = [| IPNetwork.Parse "10.0.0.0/8"; IPNetwork.Parse "::1/128" |]

let private forwardingLaws =
    [
        law
            "a network holds the addresses that share its first bits, and no others"
            (Gen.zip3 ipv4 ipv4 (Gen.choose (0, 32)))
            (fun (bits, other, length) ->
                let network = bits &&& mask length

                // Half of them near the network, which a random address hardly ever is.
                let asked =
                    if other % 2u = 0u then
                        other
                    else
                        network ||| (other &&& ~~~(mask length))

                match Forwarding.networkOf $"{addressOf network}/{length}" with
                | ValueNone -> false
                | ValueSome found -> same (Forwarding.isTrusted [| found |] (addressOf asked)) (asked &&& mask length = network))

        law "a network with bits behind its prefix is none" (Gen.zip ipv4 (Gen.choose (0, 32))) (fun (bits, length) ->
            let isNetwork = bits &&& mask length = bits
            same (Forwarding.networkOf $"{addressOf bits}/{length}").IsSome isNetwork)

        law "no text makes the reader of networks throw" anyText (fun text -> (Forwarding.networkOf text).IsSome || text.Length >= 0)

        law "whoever is no trusted proxy is the client, whatever he writes" (Gen.zip madeUp anyText) (fun (header, scheme) ->
            let client = Forwarding.client proxies (IPAddress.Parse "192.0.2.1") false header scheme

            same (string client.Address) "192.0.2.1" && not client.IsHttps)

        law
            "behind trusted proxies the client is whom the last of them saw, whatever it wrote before that"
            (Gen.zip3 madeUp ipv4 (Gen.choose (0, 5)))
            (fun (header, bits, hops) ->
                let client = addressOf bits
                let isOther = not (Forwarding.isTrusted proxies client)
                let chain = [ $"{header}"; string client ] @ [ for hop in 1..hops -> $"10.0.0.{hop}" ]

                let found =
                    Forwarding.client proxies (IPAddress.Parse "10.1.1.1") false (String.concat ", " chain) "https"

                not isOther || (same found.Address client && found.IsHttps))

        law "no header makes it throw" (Gen.zip anyText anyText) (fun (header, scheme) ->
            string (Forwarding.client proxies (IPAddress.Parse "10.1.1.1") false header scheme).Address
            <> "")

        law "an address on an IPv6 socket counts as the IPv4 address that it is" ipv4 (fun bits ->
            let address = addressOf bits
            same (Forwarding.key (address.MapToIPv6())) (Forwarding.key address))
    ]

/// Pieces of which addresses are made that lead elsewhere.
let private pieces: Gen<string> =
    Gen.elements
        [
            "/"
            "//"
            "\\"
            "\t"
            "\n"
            "\r"
            " "
            "evil.example"
            "https:"
            "javascript:"
            "@"
            "?"
            "#"
            "."
            ".."
            "servers"
            "%2F"
            "%5C"
            "%09"
            ":"
            "login"
            "\000"
            "\127"
            "é"
            "&minutes=60"
        ]

let private asked: Gen<string> =
    Gen.oneof
        [
            upTo 8 pieces |> Gen.map (String.concat "")
            upTo 6 pieces |> Gen.map (fun parts -> "/" + String.concat "" parts)
            anyText
        ]

/// As browsers read an address (URL standard, 4.4): without tabs and line ends, and with slashes for backslashes.
let private asBrowsersRead (text: string) =
    (String.filter (fun c -> c <> '\t' && c <> '\n' && c <> '\r') text).Trim([| for c in '\000' .. ' ' -> c |]).Replace('\\', '/')

let private redirectLaws =
    [
        law "wherever a log-in is asked to lead, it leads home" asked (fun asked ->
            let page = Redirects.home asked
            let read = asBrowsersRead page

            read.StartsWith '/'
            && not (read.StartsWith "//")
            && same (Uri(Uri "https://home.example/login", page)).Host "home.example"
            && page |> Seq.forall (fun c -> c > ' ' && c < '\127'))

        law "what the log-in was sent for comes back" asked (fun asked ->
            let page = Redirects.home asked
            let path = page.Split('?')[0]
            let target = Redirects.toLogin path (page.Substring path.Length)

            if page = "/" then
                same target "/login"
            else
                same (Uri.UnescapeDataString(target.Substring "/login?next=".Length)) page)
    ]

let private name: Gen<string> =
    Gen.zip (Gen.elements [ 'a'; 'Z'; '7' ]) (upTo 20 (Gen.elements [ 'b'; 'Q'; '0'; '.'; '_'; '@'; '+'; '-' ]))
    |> Gen.map (fun (first, rest) -> String(first, 1) + String rest)

let private bytes (count: int) =
    Gen.arrayOfLength count (Gen.choose (0, 255) |> Gen.map byte)

let private role = Gen.elements [ Role.Viewer; Role.Admin ]

let private password: Gen<PasswordHash> =
    Gen.map3
        (fun iterations salt hash ->
            {
                Iterations = iterations
                Salt = salt
                Hash = hash
            })
        (Gen.choose (1, 10000000))
        (bytes 16)
        (bytes 32)

let private users: Gen<User[]> =
    Gen.map3
        (fun name role password ->
            {
                User.Name = name
                Role = role
                Password = password
            })
        name
        role
        password
    |> upTo 10
    |> Gen.map (Array.distinctBy (fun (user: User) -> user.Name))

let private sessionOf (name: string) (ends: int) (key: byte[]) (stamp: byte[]) : SessionRecord =
    {
        Key = Convert.ToHexStringLower key
        Ends = DateTimeOffset.FromUnixTimeSeconds(int64 ends)
        Stamp = Convert.ToHexStringLower stamp
        Name = name
    }

let private session: Gen<SessionRecord> =
    Gen.map4
        sessionOf
        (Gen.oneof [ Gen.constant ""; Gen.elements [ "ada"; "bob" ]; name ])
        (Gen.choose (0, 2000000000))
        (bytes 32)
        (bytes 8)

let private fileLaws =
    [
        lawOf wholeCases "users are read as they were written" users (fun users ->
            match Credentials.users (Credentials.usersText users) with
            | Ok read ->
                same (Credentials.usersText read) (Credentials.usersText users)
                && same (read |> Array.map _.Name) (users |> Array.map _.Name)
                && same (read |> Array.map _.Role) (users |> Array.map _.Role)
            | Error problem -> failtest problem)

        lawOf
            wholeCases
            "tokens are read as they were written"
            (Gen.map4
                (fun name role days hash ->
                    {
                        AccessToken.Name = name
                        Role = role
                        Created = DateOnly.FromDayNumber days
                        Hash = hash
                    })
                name
                role
                (Gen.choose (0, 3000000))
                (bytes 32))
            (fun token ->
                match Credentials.tokens (Credentials.tokensText [ token ]) with
                | Ok [| read |] ->
                    same read.Name token.Name
                    && same read.Role token.Role
                    && same read.Created token.Created
                    && same read.Hash token.Hash
                | other -> failtestf "%A" other.IsOk)

        law "any text at all is a file of users, of tokens and of sessions, or is not, without an exception" anyText (fun text ->
            (Credentials.users text).IsOk
            || (Credentials.tokens text).IsOk
            || (SessionFile.parse text).Sessions.Length >= 0)

        lawOf wholeCases "what is wrong with a file is told without the text of its lines" users (fun users ->
            match users with
            | [||] -> true
            | users ->
                // The hash is cut, so that it is none.
                let text = (Credentials.usersText users).TrimEnd() + "!"

                match Credentials.users text with
                | Ok _ -> false
                | Error problem ->
                    users
                    |> Array.forall (fun user -> not (problem.Contains(Convert.ToBase64String user.Password.Salt))))

        lawOf
            wholeCases
            "sessions are read as they were written"
            (Gen.zip3 (upTo 20 session) (maybe password) (bytes 32))
            (fun (sessions, password, key) ->
                let file =
                    {
                        ViewerPassword = password
                        DeviceKey = key
                        Sessions = sessions
                    }

                let read = SessionFile.parse (SessionFile.text file)

                same (SessionFile.text read) (SessionFile.text file)
                && same read.Sessions.Length sessions.Length)

        lawOf
            200
            "sessions never are more than their bounds, and the new one is among them"
            (Gen.zip (Gen.choose (1, 1200)) session)
            (fun (count, added) ->
                let now = DateTimeOffset.FromUnixTimeSeconds 0L

                let sessions =
                    [|
                        for n in 1..count ->
                            sessionOf (if n % 2 = 0 then "ada" else $"user{n}") n (Array.create 32 0uy) (Array.create 8 0uy)
                            |> fun session -> { session with Key = n.ToString("x64") }
                    |]

                let after =
                    SessionFile.add now { added with Name = "ada" } (Array.truncate SessionFile.MostSessions sessions)

                after.Length <= SessionFile.MostSessions
                && (after |> Array.filter (fun session -> session.Name = "ada")).Length
                   <= SessionFile.MostOfUser
                && after |> Array.exists (fun session -> session.Key = added.Key))
    ]

let private pieceOfClaim = Gen.elements [ "groups"; "admins"; "staff"; "Groups"; "" ]

let private providerLaws =
    [
        law
            "whatever a provider calls somebody becomes a name, or none"
            (Gen.zip3 anyText anyText anyText)
            (fun (preferred, email, subject) ->
                let name = Oidc.name preferred email subject
                name = "" || Credentials.isName name)

        law "only the claims that were named give a role" (Gen.zip pieceOfClaim pieceOfClaim) (fun (kind, value) ->
            let settings =
                { Oidc.none with
                    Admins = Oidc.claimOf "groups=admins"
                    Viewers = Oidc.claimOf "groups=staff"
                }

            let role =
                Oidc.roleOf settings (Func<string, string, bool>(fun asked wanted -> asked = kind && wanted = value))

            let expected =
                match kind, value with
                | "groups", "admins" -> ValueSome Role.Admin
                | "groups", "staff" -> ValueSome Role.Viewer
                | _ -> ValueNone

            same role expected)
    ]

let tests = testList "Access" (attemptLaws @ providerLaws @ forwardingLaws @ redirectLaws @ fileLaws)
