module Agent.Browser.Tests.LoginTests

open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Agent.TestSupport
open Expecto

let private password = "correct horse battery staple"

let private enter (page: Visit) (text: string) =
    finish (page.Find("#password").FillAsync text)
    page.Press "Enter"

[<Tests>]
let tests =
    testList
        "Login"
        [
            testCase "a dashboard with a password lets nobody look without it, says what was wrong, and leads back to the page"
            <| fun () ->
                withPassword password (fun dashboard ->
                    dashboard.Register("gpu-box-01", []) |> ignore

                    visit desktop dashboard.Url (fun page ->
                        page.Allow "401"
                        page.Go "/servers/gpu-box-01"
                        page.See "#password"
                        Expect.stringContains page.Page.Url "/login" "sent to the log-in"
                        enter page "wrong"
                        page.See "text=Wrong password."
                        enter page password
                        page.See ".machine-head"
                        Expect.stringEnds page.Page.Url "/servers/gpu-box-01" "back where it was meant to go"
                        page.Click "text=Log out"
                        page.See "#password"
                        page.Go "/"
                        page.See "#password"))

            testCase "somebody else's guesses make the page wait for its turn, and then it leads on, query included"
            <| fun () ->
                withUser "ada" password [ "--trusted-proxy"; "127.0.0.0/8" ] (fun dashboard ->
                    dashboard.Register("gpu-box-01", []) |> ignore
                    use http = LoginClient.client ()

                    for guess in 1..5 do
                        let answer =
                            LoginClient.loginWith http dashboard.Url [ "X-Forwarded-For", "203.0.113.1" ] "ada" $"guess {guess}"

                        Expect.equal (LoginClient.status answer) 401 "a guess"

                    visit desktop dashboard.Url (fun page ->
                        page.Allow "401"
                        page.Allow "429"
                        page.Go "/servers/gpu-box-01?minutes=60"
                        page.See "#name"
                        finish (page.Find("#name").FillAsync "ada")
                        enter page password
                        page.See "text=This page tries again by itself"
                        page.See ".machine-head"
                        Expect.stringContains page.Page.Url "/servers/gpu-box-01?minutes=60" "where it was meant to go"
                        page.See "[title='Logged in as ada, admin']"))

            testCase "a session that ends while a page is open leads to the log-in"
            <| fun () ->
                withPassword password (fun dashboard ->
                    dashboard.Register("gpu-box-01", []) |> ignore

                    visit desktop dashboard.Url (fun page ->
                        page.Allow "401"
                        page.Go "/login"
                        enter page password
                        page.See card
                        finish (page.Page.Context.ClearCookiesAsync())
                        dashboard.Register("gpu-box-02", []) |> ignore
                        page.See "#password"))
        ]
