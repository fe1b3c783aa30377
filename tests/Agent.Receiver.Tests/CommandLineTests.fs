/// The command line of `ai-dashboard`.
module Agent.Receiver.Tests.CommandLineTests

open System
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
                    (served "serve --listen http://[::ffff:127.0.0.1]:81").Listen.Address
                    (ValueSome IPAddress.Loopback)
                    "IPv4 in the notation of IPv6"

                Expect.equal (served "serve --listen http://127.0.0.1:0").Listen.Port 0 "any free port"

                Expect.equal
                    (errors "serve --listen http://localhost:0")
                    [
                        "--listen: \"http://localhost:0\" cannot have port 0, which means any free port, because localhost is two addresses; give http://127.0.0.1:0"
                    ]
                    "a free port of two addresses"

                Expect.equal
                    (served "serve --listen http://*:81 --viewer-password-file p --plain-http-behind-proxy").Listen.Address
                    (ValueSome IPAddress.Any)
                    "all of them"

                Expect.equal (served "serve --listen http://127.0.0.1").Listen.Port 80 "http's own port"

            testCase "the URL of a cluster has no slash at its end, and headers over plain http to another machine are warned of"
            <| fun () ->
                Expect.equal (served "serve").MetricsUrl "" "none"

                Expect.equal
                    (served "serve --metrics-url https://mimir/prometheus/").MetricsUrl
                    "https://mimir/prometheus"
                    "without its slash"

                let warning line = (served line).MetricsWarning

                Expect.stringContains
                    (warning "serve --metrics-url http://vm:8428 --metrics-header-file h")
                    "is plain http"
                    "another machine"

                Expect.equal (warning "serve --metrics-url http://127.0.0.1:8428 --metrics-header-file h") "" "this machine"
                Expect.equal (warning "serve --metrics-url https://vm:8428 --metrics-header-file h") "" "https"
                Expect.equal (warning "serve --metrics-url http://vm:8428") "" "without headers"

            testCase "a tenant's name has 150 letters at most, none of which could be a path's or a list's"
            <| fun () ->
                let tenant (name: string) =
                    DashboardCli.parse [| "serve"; "--metrics-url=http://vm:8428"; $"--metrics-tenant={name}" |]

                for good in [ "a"; "team-7_(b)!.*'"; String('a', 150) ] do
                    match tenant good with
                    | Ok(DashboardCli.DashboardCommand.Serve settings) -> Expect.equal settings.MetricsTenant good good
                    | other -> failtest $"{good}: %A{other}"

                for bad in [ String('a', 151); "a|b"; "a/b"; "a b"; "."; ".."; "ä" ] do
                    Expect.isError (tenant bad) bad

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

            testCase "paths, names and passwords in --listen are told what to do instead"
            <| fun () ->
                let about (line: string) (part: string) =
                    Expect.exists (errors line) (fun message -> message.Contains part) line

                about "serve --listen https://127.0.0.1:8443" "needs --tls-certificate FILE and --tls-key FILE"
                about "serve --listen http://127.0.0.1:8000/monitoring" "has a path"
                about "serve --listen http://dashboard.example:8000" "names no address of this machine"
                about "serve --listen http://me:secret@127.0.0.1" "must not contain a user name or password"
                let sentence = errors "serve --listen http://me:secret@127.0.0.1" |> String.concat "\n"
                Expect.isFalse (sentence.Contains "secret") "the password"

            testCase "what is exposed asks for log-ins and for TLS, and options of access that do not go together are told"
            <| fun () ->
                let about (line: string) (part: string) =
                    Expect.exists (errors line) (fun message -> message.Contains part) line

                let exposed = "serve --listen http://192.0.2.1:80"
                about exposed "everybody could see the dashboard"
                about $"{exposed} --users-file u" "would not be encrypted"
                about $"{exposed} --users-file u --tls-certificate c --tls-key k" "is plain http"
                about "serve --tls-certificate c" "--tls-certificate: needs --tls-key as well"
                about "serve --listen https://[::1] --tls-key k" "--tls-key: needs --tls-certificate as well"
                about "serve --tokens-file t" "everybody on this machine has access"
                about "serve --users-file u --trust-proxy-user X-User" "cannot be combined with"
                about "serve --oidc-authority https://id.example" "needs --oidc-client-id as well"
                about "serve --oidc-admins a=b" "needs --oidc-authority as well"
                about "serve --oidc-authority http://id.example --oidc-client-id x" "is not the https URL of a provider"
                about "serve --oidc-authority https://id.example --oidc-client-id x --oidc-viewers staff" "is not CLAIM=VALUE"
                about "serve --trusted-proxy 10.0.0.1/8" "\"10.0.0.1/8\" is not an address or a network"
                about "serve --trusted-proxy 10.0.0.1,proxy" "\"proxy\" is not an address or a network"
                let settings = served "serve --listen https://*:443 --users-file u --tls-certificate c --tls-key k"
                Expect.isTrue settings.Listen.IsTls "TLS"
                Expect.equal settings.Listen.Port 443 "https's own port"

                let settings =
                    served $"{exposed} --users-file u --plain-http-behind-proxy --trusted-proxy 10.0.0.0/8,2001:db8::1"

                Expect.equal (settings.Access.TrustedProxies |> Array.map string) [| "10.0.0.0/8"; "2001:db8::1/128" |] "proxies"

            testCase "users and tokens, each added, removed and listed"
            <| fun () ->
                let changed line =
                    match parse line with
                    | Ok(DashboardCommand.Users settings) -> "users", settings.File, settings.Action
                    | Ok(DashboardCommand.Tokens settings) -> "tokens", settings.File, settings.Action
                    | other -> failtest $"%A{other}"

                Expect.equal
                    (changed "users add ada --role admin --users-file u")
                    ("users", "u", CredentialAction.Add("ada", Role.Admin))
                    "an admin"

                Expect.equal (changed "users add ada") ("users", "ai-dashboard.users", CredentialAction.Add("ada", Role.Viewer)) "a viewer"
                Expect.equal (changed "users remove ada") ("users", "ai-dashboard.users", CredentialAction.Remove "ada") "remove"
                Expect.equal (changed "users list") ("users", "ai-dashboard.users", CredentialAction.List) "list"

                Expect.equal
                    (changed "tokens add prometheus --role read-only --tokens-file t")
                    ("tokens", "t", CredentialAction.Add("prometheus", Role.Viewer))
                    "a token"

                Expect.stringContains (firstError "users add a:b") "is not a name" "colon"
                Expect.stringContains (firstError "users add ada --role root") "is not a role" "role"
                Expect.equal (errors "users remove") [ "Missing NAME" ] "nobody"
                Expect.stringContains (firstError "users") "users needs one of the words add, remove or list" "no action"

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
                Expect.stringContains (firstError "register-server a b") "\"b\" is one argument too many" "two"
                Expect.equal (errors "register-server a --active --inactive") [ "--active and --inactive exclude each other" ] "both"

            testCase "a word too many, and a value that nothing takes, are repeated"
            <| fun () ->
                for command in [ "serve"; "list-servers"; "check"; "users list"; "tokens list" ] do
                    Expect.equal (errors $"{command} junk") [ $"{command} takes no argument; \"junk\" is one too many" ] command

                Expect.equal
                    (errors "serve a b")
                    [
                        for word in [ "a"; "b" ] -> $"serve takes no argument; \"{word}\" is one too many"
                    ]
                    "two"

                let help = "see ai-dashboard serve --help"
                Expect.equal (errors "serve --help=x") [ $"--help takes no value; \"x\" is one; {help}" ] "--help"

                Expect.equal
                    (errors "serve --plain-http-behind-proxy=x")
                    [ $"--plain-http-behind-proxy takes no value; \"x\" is one; {help}" ]
                    "a switch"

                Expect.equal (errors "--version=x") [ "--version takes no value; \"x\" is one; see ai-dashboard --help" ] "--version"

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

                for command in [ "users add"; "users remove"; "users list" ] do
                    Expect.stringContains (help "--help") command "the list"
                    Expect.stringContains (help $"{command} -h") "--users-file" command

                for command in [ "tokens add"; "tokens remove"; "tokens list" ] do
                    Expect.stringContains (help "--help") command "the list"
                    Expect.stringContains (help $"{command} -h") "--tokens-file" command

            testCase "the other commands"
            <| fun () ->
                Expect.equal (parse "list-servers --database x") (Ok(DashboardCommand.List("x", ValueNone))) "list"
                Expect.equal (parse "remove-server a") (Ok(DashboardCommand.Remove("ai-dashboard.db", ValueNone, "a", false))) "remove"
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

            testCase "the commands of a browser take its host as a word, whatever characters it has"
            <| fun () ->
                let line host =
                    (Registering.commands "https" host "gpu-1" "T0KEN").Terminal.Split('\n')[2]

                Expect.stringContains (line "[::1]:8443") " --host 'https://[::1]:8443' --server-slug gpu-1 " "brackets"
                Expect.stringContains (line "dash.example") " --host https://dash.example --server-slug gpu-1 " "a plain one"
                Expect.stringContains (line "a'$(id)") @" --host 'https://a'\''$(id)' --server-slug gpu-1 " "quotes and code"

            testCase "slugs are made of names, as the page shows them"
            <| fun () ->
                for name, slug in
                    [
                        "node-7", "node-7"
                        "  A  b__C ", "a-b__c"
                        "--x--", "x"
                        "é", "machine"
                        // The sign for kelvin is k in lower case, and no ASCII letter.
                        "\u212Aelvin", "elvin"
                        "GPU😀box", "gpu-box"
                        System.String('x', 63) + "-y", System.String('x', 63)
                        "---" + System.String('z', 90), System.String('z', 64)
                    ] do
                    Expect.equal (Registration.slugOf name) slug name

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
