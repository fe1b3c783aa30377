/// The command line of `ai-dashboard`.
module Agent.Dashboard.Tests.CommandLineTests

open System.Net
open Agent.Receiver
open Agent.Receiver.DashboardCli
open Expecto

let private parse (line: string) =
    DashboardCli.parse (line.Split(' ', System.StringSplitOptions.RemoveEmptyEntries))

let private errors (line: string) : string list =
    match parse line with
    | Ok command -> failtest $"%A{command}"
    | Error errors -> [ for error in errors -> error.Message ]

let private firstError (line: string) : string = List.head (errors line)

let private served (line: string) : ServeSettings =
    match parse line with
    | Ok(DashboardCommand.Serve settings) -> settings
    | other -> failtest $"%A{other}"

let private registered (line: string) : RegisterSettings =
    match parse line with
    | Ok(DashboardCommand.Register settings) -> settings
    | other -> failtest $"%A{other}"

[<Tests>]
let tests =
    testList
        "CommandLine"
        [
            testCase "serve alone listens on loopback, port 8000, and keeps 14 days"
            <| fun () ->
                let settings = served "serve"
                Expect.equal settings.Listen.Address (ValueSome IPAddress.Loopback) "address"
                Expect.equal settings.Listen.Port 8000 "port"
                Expect.equal settings.Keeping { RawHours = 48; Days = 14 } "how long"
                Expect.equal settings.Database "ai-dashboard.db" "database"

            testCase "addresses that can be listened on"
            <| fun () ->
                Expect.equal (served "serve --listen=http://[::1]:81").Listen.Address (ValueSome IPAddress.IPv6Loopback) "IPv6"
                Expect.equal (served "serve --listen http://localhost:81").Listen.Address ValueNone "both of loopback"

                Expect.equal
                    (served "serve --listen http://*:81 --viewer-password-file p").Listen.Address
                    (ValueSome IPAddress.Any)
                    "all of them"

                Expect.equal (served "serve --listen http://127.0.0.1").Listen.Port 80 "http's own port"

            testCase "every error is told at once"
            <| fun () ->
                let all =
                    errors "serve --listen ftp://x --retention-days 1 --trust-proxy-user a:b --viewer-password-file / --nonsense words"

                let about (part: string) =
                    Expect.exists all (fun message -> message.Contains part) $"{part} in %A{all}"

                about "\"--nonsense\" is not an option"
                about "\"ftp://x\" is not a URL to listen on"
                about "\"1\" is not a whole number of days, 2 to 3650"
                about "\"a:b\" is not the name of a header"
                about "\"/\" is not the name of a file"
                about "\"words\""

            testCase "TLS, paths, names and passwords in --listen are told what to do instead"
            <| fun () ->
                let about (line: string) (part: string) =
                    Expect.exists (errors line) (fun message -> message.Contains part) line

                about "serve --listen https://127.0.0.1:8443" "reverse proxy"
                about "serve --listen http://127.0.0.1:8000/monitoring" "has a path"
                about "serve --listen http://dashboard.example:8000" "names no address of this machine"
                about "serve --listen http://me:secret@127.0.0.1" "must not contain a user name or password"
                let sentence = errors "serve --listen http://me:secret@127.0.0.1" |> String.concat "\n"
                Expect.isFalse (sentence.Contains "secret") "the password"

            testCase "register-server, by either spelling, with what it may say"
            <| fun () ->
                let settings =
                    registered "register_server gpu-1 --database d.db --name Trainer --inactive --rotate-token --name Second"

                Expect.equal settings.Slug "gpu-1" "slug"
                Expect.equal settings.Name (ValueSome "Second") "the last wins"
                Expect.equal settings.IsActive (ValueSome false) "inactive"
                Expect.isTrue settings.RotateToken "rotate"
                Expect.equal (registered "register-server x").IsActive ValueNone "as it is"

            testCase "a slug that is missing, wrong or one of two is told"
            <| fun () ->
                Expect.equal (errors "register-server") [ "Missing SLUG" ] "missing"
                Expect.stringContains (firstError "register-server a.b") "\"a.b\" is not a server slug" "wrong"
                Expect.stringContains (firstError "register-server a b") "\"b\" is one word too many" "two"
                Expect.equal (errors "register-server a --active --inactive") [ "--active and --inactive exclude each other" ] "both"

            testCase "no command, and none that is known"
            <| fun () ->
                Expect.stringContains (firstError "") "a command is missing" "none"
                Expect.stringContains (firstError "server") "\"server\" is not a command" "unknown"

            testCase "help is printed for all and for each"
            <| fun () ->
                let help line =
                    match parse line with
                    | Ok(DashboardCommand.Help text) -> text
                    | other -> failtest $"%A{other}"

                for command in [ "serve"; "register-server"; "list-servers"; "remove-server"; "backup" ] do
                    Expect.stringContains (help "--help") command "the list"
                    Expect.stringContains (help $"{command} -h") "--database" command

            testCase "the other commands"
            <| fun () ->
                Expect.equal (parse "list-servers --database x") (Ok(DashboardCommand.List "x")) "list"
                Expect.equal (parse "remove-server a") (Ok(DashboardCommand.Remove("ai-dashboard.db", "a", false))) "remove"
                Expect.equal (parse "backup b.db --database=x") (Ok(DashboardCommand.Backup("x", "b.db", 0))) "backup"
                Expect.equal (parse "--version") (Ok DashboardCommand.Version) "version"

            testCase "a new registration tells its token once and the agent's command"
            <| fun () ->
                let registration =
                    Registering.change
                        (registered "register-server gpu-1")
                        ValueNone
                        1
                        [||]
                        (System.DateTimeOffset(2026, 1, 1, 0, 0, 0, System.TimeSpan.Zero))

                let text = Registering.told registration true "T0KEN" "http://127.0.0.1:8123" true "tower"
                Expect.equal (text.Split("T0KEN").Length - 1) 1 "once"
                Expect.stringContains text "\nINGEST_TOKEN=T0KEN\n" "the token's line"

                Expect.stringContains
                    text
                    "ai-dashboard-agent --host http://127.0.0.1:8123 --server-slug gpu-1 --token-file ingest-token\n"
                    "the command"

                Expect.stringContains
                    (Registering.told registration true "T" "http://0.0.0.0:80" false "tower")
                    "--host http://tower:80 "
                    "all addresses"

            testCase "tokens are taken from either header, the agent's own first"
            <| fun () ->
                Expect.equal (Registration.tokenIn " abc " "Bearer x") (ValueSome "abc") "its own"
                Expect.equal (Registration.tokenIn "" "bEARER  xyz ") (ValueSome "xyz") "the other, in any case"
                Expect.equal (Registration.tokenIn " " "Basic xyz") ValueNone "no token"
                Expect.equal (Registration.tokenIn "" "Bearerxyz") ValueNone "no blank"

            testCase "tokens are 43 characters that need no quotes"
            <| fun () ->
                for bytes in
                    [
                        Array.create 32 0xFFuy
                        Array.create 32 0xFBuy
                        Array.create 32 0uy
                        Array.init 32 (fun i -> byte (248 - i))
                    ] do
                    let token = Registration.tokenOf bytes
                    Expect.equal token.Length 43 token
                    Expect.isFalse (token.StartsWith '-') token
                    Expect.all token (fun c -> System.Char.IsAsciiLetterOrDigit c || c = '-' || c = '_') token
        ]
