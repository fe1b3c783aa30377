/// A real browser, Debian's chromium, driven by Playwright; and what has to hold on every page that a test opens.
module Agent.Browser.Tests.Browser

open System
open System.Collections.Concurrent
open System.IO
open System.Text.Json.Nodes
open System.Threading.Tasks
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Expecto
open Microsoft.Playwright

/// Waits for what Playwright does, in a test that reads from top to bottom.
let inline wait (work: Task<'a>) : 'a = work.GetAwaiter().GetResult()

/// Waits for what Playwright does and gives nothing back.
let inline finish (work: Task) : unit = work.GetAwaiter().GetResult()

/// How long a page may take for anything, in milliseconds: it is a busy machine that runs the tests.
let patience = 30000f

/// The browser's executable: CHROMIUM, else what is in PATH. The shell without windows shows the same pages for less of the processor.
let private executable: Lazy<string option> =
    lazy
        (let places =
            Environment.GetEnvironmentVariable "PATH"
            |> Option.ofObj
            |> Option.defaultValue "/usr/bin:/bin"

         let found =
             [
                 for name in [ "chromium-headless-shell"; "chromium"; "chromium-browser"; "google-chrome" ] do
                     for place in places.Split ':' do
                         Path.Combine(place, name)
             ]

         (Environment.GetEnvironmentVariable "CHROMIUM" |> Option.ofObj |> Option.toList)
         @ found
         |> List.tryFind File.Exists)

/// What keeps the browser from calling its maker; as root it runs without its sandbox, which root cannot have.
let private arguments =
    [
        "--disable-gpu"
        "--disable-quic"
        "--no-first-run"
        "--disable-background-networking"
        "--disable-component-update"
        "--disable-sync"
        if Environment.UserName = "root" then
            "--no-sandbox"
    ]

/// One browser for all tests; it ends with them. Ends a test as skipped where there is none.
let private browser: Lazy<IBrowser> =
    lazy
        (let playwright = wait (Playwright.CreateAsync())

         let options =
             BrowserTypeLaunchOptions(ExecutablePath = executable.Value.Value, Args = arguments, Headless = true)

         let browser = wait (playwright.Chromium.LaunchAsync options)

         AppDomain.CurrentDomain.ProcessExit.Add(fun _ ->
             finish (browser.CloseAsync())
             playwright.Dispose())

         browser)

/// How a page is looked at.
type Look = { Width: int; Height: int; Dark: bool }

/// A laptop in daylight.
let desktop: Look =
    {
        Width = 1360
        Height = 900
        Dark = false
    }

/// The same at night.
let night: Look = { desktop with Dark = true }

/// A telephone.
let phone: Look =
    {
        Width = 390
        Height = 844
        Dark = false
    }

/// The clipboard is the browser's: one for all pages.
let private clipboard = obj ()

/// A page, and everything that a page must not do: break the content security policy, write errors to the console, throw, or
/// ask any other origin for anything.
type Visit(page: IPage, address: string) =
    let wrong = ConcurrentQueue<string>()
    let mutable allowed: string list = []

    do
        page.SetDefaultTimeout patience

        page.Console.Add(fun message ->
            if message.Type = "error" then
                wrong.Enqueue $"console: {message.Text}")

        page.PageError.Add(fun error -> wrong.Enqueue $"exception: {error}")

        page.Request.Add(fun request ->
            if
                not (
                    request.Url.StartsWith(address, StringComparison.Ordinal)
                    || request.Url.StartsWith "data:"
                    || request.Url.StartsWith("blob:" + address, StringComparison.Ordinal)
                )
            then
                wrong.Enqueue $"request to another origin: {request.Url}")

    /// The page.
    member _.Page: IPage = page

    /// Complaints that contain this text are what the test is about.
    member _.Allow(text: string) : unit = allowed <- text :: allowed

    /// Goes to a path of the dashboard's.
    member _.Go(path: string) : unit =
        page.GotoAsync(address + path) |> wait |> ignore

    /// Holds the answers from these addresses (a glob) back until the task is done.
    member _.HoldBack(addresses: string, until: TaskCompletionSource) : unit =
        let resume (route: IRoute) : Task =
            task {
                do! until.Task
                do! route.ContinueAsync()
            }

        finish (page.RouteAsync(addresses, resume))

    /// Answers these addresses (a glob) with JSON of the test's.
    member _.Answer(addresses: string, json: IRoute -> JsonNode) : unit =
        let fulfil (route: IRoute) : Task =
            route.FulfillAsync(RouteFulfillOptions(Status = 200, ContentType = "application/json", Body = (json route).ToJsonString()))

        finish (page.RouteAsync(addresses, fulfil))

    /// Changes what the dashboard answers at these addresses (a glob).
    member _.Change(addresses: string, change: JsonNode -> unit) : unit =
        let fulfil (route: IRoute) : Task =
            task {
                let! answer = route.FetchAsync()
                let! text = answer.TextAsync()
                let json = JsonNode.Parse text |> nonNull
                change json
                do! route.FulfillAsync(RouteFulfillOptions(Response = answer, Body = json.ToJsonString()))
            }

        finish (page.RouteAsync(addresses, fulfil))

    /// Keeps live samples away: what the test answers stays.
    member this.Quiet() : unit =
        this.HoldBack("**/api/events/**", TaskCompletionSource())

    /// Makes the page one of whoever has this session: the header that LoginClient.sessionOf gives.
    member _.LogIn(_: string, cookie: string) : unit =
        match cookie.Split('=', 2) with
        | [| name; value |] -> finish (page.Context.AddCookiesAsync [ Cookie(Name = name, Value = value, Url = address) ])
        | _ -> failtest $"a cookie without a value: {cookie}"

    /// What a selector finds.
    member _.Find(selector: string) : ILocator = page.Locator selector

    /// Waits until a selector finds something that is visible.
    member _.See(selector: string) : unit =
        finish (page.Locator(selector).First.WaitForAsync())

    /// Waits until a selector finds nothing that is visible.
    member _.SeeNo(selector: string) : unit =
        finish (page.Locator(selector).First.WaitForAsync(LocatorWaitForOptions(State = WaitForSelectorState.Hidden)))

    /// Clicks what a selector finds.
    member _.Click(selector: string) : unit =
        finish (page.Locator(selector).First.ClickAsync())

    /// Clicks what a selector finds, which copies a text, waits until another finds the sign that it is done, and returns the text.
    member this.Copy(selector: string, sign: string) : string =
        lock clipboard (fun () ->
            this.Click selector
            this.See sign
            this.Value<string> "navigator.clipboard.readText()")

    /// Chooses an option of a select element.
    member _.Choose(selector: string, value: string) : unit =
        page.Locator(selector).First.SelectOptionAsync value |> wait |> ignore

    /// Presses keys, such as "Tab" or "Shift+ArrowLeft".
    member _.Press(keys: string) : unit = finish (page.Keyboard.PressAsync keys)

    /// The visible text of what a selector finds.
    member _.Text(selector: string) : string =
        wait (page.Locator(selector).First.InnerTextAsync())

    /// The value of an expression in the page.
    member _.Value<'a>(expression: string) : 'a =
        wait (page.EvaluateAsync<'a> expression)

    /// Waits until an expression in the page is true. Playwright's own way would evaluate a string inside the page, which the
    /// policy forbids.
    member this.Until(expression: string, ?milliseconds: float32) : unit =
        let limit = TimeSpan.FromMilliseconds(float (defaultArg milliseconds patience))

        eventually limit expression (fun () ->
            try
                this.Value<bool> $"!!(%s{expression})"
            with :? PlaywrightException as e when e.Message.Contains "null" || e.Message.Contains "context" ->
                // What the expression looks for is not there yet, or the page is just changing.
                false)

    /// What the page did that no page may do.
    member _.Complaints: string list =
        List.ofSeq wrong
        |> List.filter (fun complaint -> not (allowed |> List.exists complaint.Contains))

/// Opens a page on an address with options of its own, and judges at the end what it did.
let visitWith (change: BrowserNewContextOptions -> unit) (look: Look) (address: string) (test: Visit -> unit) : unit =
    if executable.Value.IsNone then
        Skip.because "there is no chromium (apt-get install chromium-headless-shell, or CHROMIUM=path)"

    let options =
        BrowserNewContextOptions(
            ViewportSize = ViewportSize(Width = look.Width, Height = look.Height),
            ColorScheme = (if look.Dark then ColorScheme.Dark else ColorScheme.Light),
            TimezoneId = "UTC",
            Locale = "en"
        )

    change options
    let context = wait (browser.Value.NewContextAsync options)

    try
        let visit = Visit(wait (context.NewPageAsync()), address)
        test visit
        Expect.equal visit.Complaints [] "the page kept to its policy, its origin and to itself"
    finally
        finish (context.CloseAsync())

/// Lets a page write to the clipboard and read it.
let withClipboard (options: BrowserNewContextOptions) : unit =
    options.Permissions <- [ "clipboard-read"; "clipboard-write" ]

/// Opens a page on an address.
let visit (look: Look) (address: string) (test: Visit -> unit) : unit = visitWith ignore look address test
